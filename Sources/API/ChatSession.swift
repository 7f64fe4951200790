import Engine
import Weights

/// The chats of one WebSocket: reads requests, answers them side by side, and ends them when the client leaves.
///
/// Requests in the plain dialect have no name by which their answers could be told apart: they are answered in turn.
struct ChatSession: Sendable {
    let call: Call
    let server: ServerContext
    let socket: MessageSocket
    private let running = Locked<[String: Running]>([:])
    private let plain = AsyncStream.makeStream(of: Request.self)

    init(call: Call, server: ServerContext, socket: MessageSocket) {
        self.call = call
        self.server = server
        self.socket = socket
    }

    private struct Request: Sendable {
        var reply: SocketReply
        let fields: JSONObject
        let state: Running
    }

    /// A request that is being answered, or waits for its turn.
    private final class Running: Sendable {
        private let state = Locked((isCancelled: false, stream: GenerationStream?.none))

        var isCancelled: Bool { state.withLock(\.isCancelled) }

        func cancel() {
            state.withLock { state in
                state.isCancelled = true
                state.stream?.cancel()
            }
        }

        func begins(_ stream: GenerationStream) {
            state.withLock { state in
                state.stream = stream
                if state.isCancelled { stream.cancel() }
            }
        }
    }

    /// Until either side has closed.
    func run() async {
        await withDiscardingTaskGroup { group in
            group.addTask { await closeWhenIdle() }
            group.addTask { for await request in plain.stream { await answer(request) } }
            for await message in socket.messages {
                let object = await object(message)
                socket.took(message)
                guard let object, let request = begin(object) else { continue }
                switch request.reply.dialect {
                case .plain: plain.continuation.yield(request)
                case .typed: group.addTask { await answer(request) }
                }
            }
            plain.continuation.finish()
            group.cancelAll()
        }
    }

    private func closeWhenIdle() async {
        let limit = server.configuration.socketIdle
        while (try? await Task.sleep(until: socket.lastActive + limit)) != nil {
            guard running.withLock(\.isEmpty), ContinuousClock.now - socket.lastActive >= limit else {
                if !running.withLock(\.isEmpty) { socket.stir() }
                continue
            }
            socket.close(.policy, "idle for \(limit.components.seconds) s")
            return
        }
    }

    // MARK: Messages

    /// The object that a message is, or nil after an error has been sent.
    private func object(_ message: [UInt8]) async -> JSONObject? {
        let parse: @Sendable () throws -> JSONValue = { try JSONValue.parse(message, maximumDepth: RequestLimits.jsonDepth) }
        do {
            let value = message.count < 16 << 10 ? try parse() : try await Worker.run(parse)
            if case .object(let object) = value { return object }
            refuse(.malformed("a message must be a JSON object, not \(value.kind)"))
        } catch {
            refuse(.malformed("the message is not JSON: \(error)"))
        }
        return nil
    }

    private func refuse(_ error: APIError, id: String? = nil) { socket.send(SocketReply.error(error, id: id)) }

    /// The request that a message makes, if it makes one; other messages are acted on.
    private func begin(_ object: JSONObject) -> Request? {
        let fields = Fields(object)
        do {
            let given = try fields.string("request_id")
            switch try fields.string("type") {
            case "chat.request": return try request(object, .typed, id: given)
            case nil where fields["messages"] != nil: return try request(object, .plain, id: given)
            case "chat.cancel": try cancel(given)
            case nil: throw APIError.refused("type", "is missing (chat.request, chat.cancel; or messages without a type)")
            case let other?: throw APIError.refused("type", "Unknown message type: \(APIError.echo(other))")
            }
        } catch {
            var refusal = APIError(error)
            // As clients know it, without the name of the field before it.
            if refusal.message.hasPrefix("type: Unknown") { refusal.message.removeFirst("type: ".count) }
            refuse(refusal, id: (try? fields.string("request_id")).flatMap { $0 }.map { APIError.echo($0) })
        }
        return nil
    }

    private func request(_ object: JSONObject, _ dialect: SocketReply.Dialect, id given: String?) throws(APIError) -> Request {
        if let given, given.isEmpty || given.utf8.count > RequestLimits.requestIDBytes {
            throw .refused("request_id", "has 1 to \(RequestLimits.requestIDBytes) bytes")
        }
        let id = given ?? Identifier.make("chatcmpl-")
        let state = Running()
        let problem = running.withLock { running -> APIError? in
            if running[id] != nil { return .refused("request_id", "'\(APIError.echo(id))' is running already") }
            if running.count == RequestLimits.socketRequests { return .busy(retryAfter: 5) }
            running[id] = state
            return nil
        }
        if let problem { throw problem }
        return Request(reply: SocketReply(dialect: dialect, id: id, givenID: given), fields: object, state: state)
    }

    /// - Parameter id: nil: everything that runs on this socket.
    private func cancel(_ id: String?) throws(APIError) {
        let meant = running.withLock { running in id.map { [running[$0]].compactMap(\.self) } ?? Array(running.values) }
        if let id, meant.isEmpty { throw .refused("request_id", "'\(APIError.echo(id))' is not running here") }
        for request in meant { request.cancel() }
    }

    // MARK: Answers

    private func answer(_ request: Request) async {
        var request = request
        var hasBegun = false
        do {
            try await generate(&request, &hasBegun)
        } catch is CancellationError {
            // The client is gone.
        } catch {
            let refusal = APIError(error)
            if hasBegun { server.metrics.streamFailed(client: call.client) } else { count(refusal.status) }
            if !server.lifecycle.isDraining { server.incidents.add(refusal, error) }
            socket.send(request.reply.failed(refusal))
        }
        _ = running.withLock { $0.removeValue(forKey: request.reply.id) }
    }

    private func count(_ status: Int) {
        server.metrics.answered(
            .init(method: "WEBSOCKET", route: ChatSocket.path.description, status: status), isInference: true, streams: true,
            client: call.client)
    }
}

extension ChatSession {
    /// What has come of one answer.
    private struct Outcome: Sendable {
        var text = ""  // where it is not streamed
        var tokens: [TokenLogprob] = []
        var end: (reason: FinishReason, usage: Usage, timings: Timings)?
        var lastSent = ContinuousClock.now
    }

    private func generate(_ request: inout Request, _ hasBegun: inout Bool) async throws {
        var fields = try server.applyingPreset(request.fields)
        if Fields(fields)["stream"] == nil { fields["stream"] = .bool(true) }  // which is what a socket is for
        let body = try ChatRequest(Fields(fields))
        guard body.generation.choices == 1 else { throw APIError.unsupported("n", "one request has one answer on a WebSocket") }
        let model = try await model(named: body.generation.model)
        let prompt = try await Worker.run { try Prompt.chat(body, for: model) }
        let answers = try Answers.begin(
            [prompt], body.generation, topLogprobs: body.topLogprobs, model: model, call: call, server: server)
        for stream in answers.streams { request.state.begins(stream) }
        count(200)
        hasBegun = true
        request.reply.model = model.id
        let (reply, streams) = (request.reply, body.generation.streams)
        if let started = reply.started() { socket.send(started) }

        @Sendable func logprobs(_ tokens: [TokenLogprob]) -> JSONValue? { body.topLogprobs == nil ? nil : ChatLogprobs.json(tokens) }
        let outcome = Locked(Outcome())
        async let _ = breakSilence(reply, outcome)
        do {
            _ = try await answers.run(tellsCancelled: true) { [socket] _, event in
                switch event {
                case .started: break
                case .text(let text, let tokens) where streams:
                    outcome.withLock { $0.lastSent = .now }
                    socket.send(reply.token(text, logprobs(tokens)))
                case .text(let text, let tokens):
                    outcome.withLock { outcome in
                        outcome.text += text
                        outcome.tokens += tokens
                    }
                case .finished(let reason, let usage, let timings): outcome.withLock { $0.end = (reason, usage, timings) }
                }
            }
        } catch let error as APIError {
            guard request.state.isCancelled, outcome.withLock({ $0.end?.reason == .cancelled }) else { throw error }
        }
        let result = outcome.withLock { $0 }
        guard let end = result.end else { return }
        socket.send(
            reply.done(
                end.reason, end.usage, end.timings, content: streams ? nil : result.text, logprobs: streams ? nil : logprobs(result.tokens)))
    }

    /// Tells a client that its answer is being worked on where it hears nothing else: while a prompt is read, or a whole
    /// answer is made.
    private func breakSilence(_ reply: SocketReply, _ outcome: Locked<Outcome>) async {
        let pause = server.configuration.keepAlive
        while (try? await Task.sleep(until: outcome.withLock(\.lastSent) + pause)) != nil {
            guard ContinuousClock.now - outcome.withLock(\.lastSent) >= pause else { continue }
            outcome.withLock { $0.lastSent = .now }
            socket.send(reply.keepAlive())
        }
    }

    private func model(named id: String) async throws -> ServedModel {
        do {
            return try await server.model(named: id)
        } catch {
            var refusal = APIError(error)
            // In the words that clients of the socket know.
            if refusal.code == "model-not-found" { refusal.message = "Model '\(APIError.echo(id))' is not loaded" }
            throw refusal
        }
    }
}
