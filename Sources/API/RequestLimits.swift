/// What a client may send and how long it may take: beyond these bounds a request is refused.
package enum RequestLimits {
    // Of a message
    package static let uriBytes = 8 << 10
    package static let headerBytes = 80 << 10  // all fields together; beyond it the parser answers 400
    package static let headerFields = 1000
    package static let bodyBytes = 8 << 20
    package static let jsonDepth = 64

    // Of a connection
    package static let connections = 512
    package static let headerTime = Duration.seconds(10)  // from the first byte to the end of the header
    package static let bodyPause = Duration.seconds(20)  // between two pieces of a body
    package static let idleTime = Duration.seconds(75)  // between two requests
    package static let stalledReader = Duration.seconds(30)  // a client that takes nothing while bytes wait for it
    package static let unsentBytes = 256 << 10  // events that wait for one slow client

    // Of the live events
    package static let eventReaders = 50
    package static let keptEvents = 256  // for readers that come back

    // Of a WebSocket
    package static let socketMessageBytes = 1 << 20
    package static let socketFragments = 1024  // of one message
    package static let socketRequests = 64  // at once

    // Of a generation
    package static let choices = 16
    package static let stopStrings = 16
    package static let stopBytes = 256
    package static let logitBiases = 1024
    package static let topLogprobs = 20
    package static let tools = 128
    package static let messages = 4096
    package static let prompts = 64

    /// Text of a client in a message of ours is cut here.
    package static let echoBytes = 256
    package static let requestIDBytes = 128
}
