import Logging
import Weights

/// From the head of a request to its reply: address, access, body, endpoint; and every error in its envelope.
package struct Dispatcher: Sendable {
    /// What the transport is to send.
    package struct Response: Sendable {
        package var reply: Reply?  // nil: no content
        package var status: Int
        package var fields: [(name: String, value: String)]
        /// The body was not read to its end: the connection is of no further use.
        package var closes = false
    }

    /// How the transport hands over the body.
    package enum Body: Sendable {
        case complete([UInt8])
        case tooLarge
    }

    let server: ServerContext
    private let machine: String

    package init(_ server: ServerContext, machine: String) {
        self.server = server
        self.machine = machine
    }

    /// By the keys and names that are in force now.
    var gatekeeper: Gatekeeper { Gatekeeper(server.configuration, machine: machine) }

    /// Answers one request. `body` is asked for at most once, and only when the head has passed every check.
    ///
    /// Throws `CancellationError` alone: the client is gone and nobody waits for an answer.
    package func respond(
        to head: RequestHead, port: Int, contentLength: Int?, body: @Sendable () async throws -> Body
    ) async throws -> Response {
        var found: Route?
        let requestID = Identifier.ofRequest(head.fields["x-request-id"])
        let start = ContinuousClock.now
        do {
            let response = try await answer(head, requestID, port: port, contentLength: contentLength, found: &found, body)
            count(head, found, response.status, streams: response.reply?.isStream ?? false)
            report(head, requestID, response.status, since: start)
            return response
        } catch {
            count(head, found, 499, streams: false)  // the client is gone
            report(head, requestID, 499, since: start)
            throw error
        }
    }

    private func answer(
        _ head: RequestHead, _ requestID: String, port: Int, contentLength: Int?, found: inout Route?, _ body: @Sendable () async throws -> Body
    ) async throws -> Response {
        var fields = [(name: "X-Request-ID", value: requestID)]
        var bodyIsRead = (contentLength ?? 0) == 0 && head.fields["transfer-encoding"] == nil
        let gatekeeper = gatekeeper
        do {
            guard head.target.utf8.count <= RequestLimits.uriBytes else { throw APIError.uriTooLong }
            try gatekeeper.admit(head)
            fields += gatekeeper.crossOriginFields(head)
            if head.method == "OPTIONS" { return try options(head, fields, closes: !bodyIsRead) }

            let (route, parameters) = try route(head)
            found = route
            try gatekeeper.authorise(head, for: route.access, keyParameters: route.keyParameters)
            let call = Call(head: head, parameters: parameters, requestID: requestID, port: port)
            guard route.readsBody else {
                return success(try await route.answer(call, [:], server), fields, closes: !bodyIsRead)
            }
            if !bodyIsRead { try checkType(head) }
            guard contentLength ?? 0 <= RequestLimits.bodyBytes else { throw APIError.bodyTooLarge }
            guard case .complete(let bytes) = try await body() else { throw APIError.bodyTooLarge }
            bodyIsRead = true
            return success(try await route.answer(call, try await object(bytes, for: route), server), fields, closes: false)
        } catch let error as CancellationError {
            throw error
        } catch {
            return failure(refusal(error, requestID: requestID), fields, type: found?.refusalType, closes: !bodyIsRead)
        }
    }

    // MARK: Steps

    private func route(_ head: RequestHead) throws(APIError) -> (Route, [String]) {
        let path = head.path
        var allowed: [String] = []
        for route in Route.all {
            guard let parameters = route.pattern.match(path) else { continue }
            if route.method.rawValue == head.method || (head.method == "HEAD" && route.method == .get) { return (route, parameters) }
            allowed.append(route.method.rawValue)
        }
        if allowed.isEmpty { throw .notFound(String(path)) }
        throw .methodNotAllowed(allowed)
    }

    /// `OPTIONS`: what a browser asks before a cross-origin request, or what a path answers to.
    private func options(_ head: RequestHead, _ fields: [(name: String, value: String)], closes: Bool) throws(APIError) -> Response {
        let methods = Route.all.filter { $0.pattern.match(head.path) != nil }.map(\.method.rawValue)
        guard !methods.isEmpty else { throw .notFound(String(head.path)) }
        var fields = fields + [(name: "Allow", value: (methods + ["OPTIONS"]).joined(separator: ", "))]
        if head.fields["origin"] != nil { fields += Gatekeeper.preflightFields }
        return Response(reply: nil, status: 204, fields: fields, closes: closes)
    }

    private func checkType(_ head: RequestHead) throws(APIError) {
        let type = head.fields["content-type"]?.prefix { $0 != ";" }.lowercased().filter { $0 != " " && $0 != "\t" }
        guard type == "application/json" else { throw .notJSON }
        if let encoding = head.fields["content-encoding"]?.lowercased(), encoding != "identity" { throw .notJSON }
    }

    private func object(_ bytes: [UInt8], for route: Route) async throws -> JSONObject {
        if bytes.isEmpty {
            if route.bodyIsOptional { return [:] }
            throw APIError.malformed("the body is empty (a JSON object is expected)")
        }
        let parse: @Sendable () throws -> JSONValue = {
            do {
                return try JSONValue.parse(bytes, maximumDepth: RequestLimits.jsonDepth)
            } catch {
                throw APIError.malformed("the body is not JSON: \(error)")
            }
        }
        let value = bytes.count < 16 << 10 ? try parse() : try await Worker.run(parse)
        guard case .object(let object) = value else { throw APIError.malformed("the body must be a JSON object, not \(value.kind)") }
        return object
    }

    // MARK: Answers

    private func count(_ head: RequestHead, _ route: Route?, _ status: Int, streams: Bool) {
        let method = ["GET", "HEAD", "POST", "DELETE", "OPTIONS"].contains(head.method) ? head.method : "other"
        server.metrics.answered(
            .init(method: method, route: route?.pattern.description ?? "unknown", status: status),
            isInference: route.map { $0.access == .client && $0.method == .post } ?? false, streams: streams, client: head.client)
    }

    /// One line of the JSON log for each request, probes and the stream of events aside. Only the path: what stands behind
    /// a question mark may be a key.
    private func report(_ head: RequestHead, _ requestID: String, _ status: Int, since start: ContinuousClock.Instant) {
        let path = String(head.path)
        guard !["/healthz", "/readyz", "/admin/events"].contains(path) || status >= 400 && status != 503 else { return }
        let milliseconds = ((ContinuousClock.now - start).inSeconds * 10_000).rounded() / 10
        server.log(
            LogLine(
                .info, nil, event: "http_request", requestID: requestID,
                [
                    "method": .string(APIError.echo(head.method)), "path": .string(APIError.echo(path)), "status": .int(status),
                    "latency_ms": .float(milliseconds), "client": .text(head.client),
                ]))
    }

    private func success(_ reply: Reply, _ fields: [(name: String, value: String)], closes: Bool) -> Response {
        let status =
            switch reply {
            case .json(_, let status), .text(_, _, let status): status
            case .resource(_, _, _, let status): status
            case .events: 200
            case .socket: 101
            }
        var fields = fields
        if case .resource(_, _, let own, _) = reply { fields += own }
        return Response(reply: reply, status: status, fields: fields, closes: closes)
    }

    private func failure(
        _ error: APIError, _ fields: [(name: String, value: String)], type: String? = nil, closes: Bool
    ) -> Response {
        var fields = fields
        if let seconds = error.retryAfter { fields.append(("Retry-After", String(seconds))) }
        if let allow = error.allow { fields.append(("Allow", allow)) }
        if error.status == 426 { fields += [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")] }
        if error.status == 401 { fields.append(("WWW-Authenticate", "Bearer")) }
        var envelope = error.envelope
        if let type, case .object(var members) = envelope {
            members["type"] = .string(type)
            envelope = .object(members)
        }
        return Response(reply: .json(envelope, status: error.status), status: error.status, fields: fields, closes: closes)
    }

    private func refusal(_ error: any Error, requestID: String) -> APIError {
        let refusal = APIError(error)
        if !server.lifecycle.isDraining { server.incidents.add(refusal, error) }
        if refusal.status == 500 {
            server.logger.error("request ended by an unexpected error", metadata: ["request": "\(requestID)", "error": "\(error)"])
        }
        return refusal
    }
}
