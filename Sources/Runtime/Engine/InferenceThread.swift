/// The one thread that runs models. It owns all state of generation; others reach it by message and hear of it by stream.
///
/// It takes new messages between any two steps, so a cancel waits for one step at most, whether its request runs, waits,
/// or is in the middle of its prompt. Several models take their steps in turn.
final class InferenceThread: Sendable {
    enum Message: Sendable {
        case attach(Handover<Resident>)
        /// Ends what runs at `deadline`, or at the end of the last answer if that is earlier; then drops the model.
        case detach(key: UInt64, deadline: Double, error: EngineError, done: @Sendable () -> Void)
        case submit(Submission)
        case cancel(GenerationStream.ID)
        case stop
    }

    private let mailbox = Mailbox<Message>()
    private let isRunning = Locked(false)

    /// Starts it if it does not run yet; false when the system grants no thread.
    func start() -> Bool {
        isRunning.withLock { isRunning in
            if !isRunning {
                isRunning = WorkerThread.start(name: "lmx-inference") { [mailbox] in InferenceLoop(mailbox).run() }
            }
            return isRunning
        }
    }

    /// False when the thread has stopped: nobody will read the message.
    @discardableResult
    func post(_ message: Message) -> Bool { mailbox.post(message) }
}

/// What the thread does: messages, a step of one model, messages, a step of the next.
private final class InferenceLoop {
    private let mailbox: Mailbox<InferenceThread.Message>
    private var residents: [Resident] = []
    private var turn = 0
    private var isStopped = false

    init(_ mailbox: Mailbox<InferenceThread.Message>) { self.mailbox = mailbox }

    func run() {
        while !isStopped {
            for message in mailbox.take(waiting: residents.allSatisfy { $0.isIdle && $0.leaving == nil }) { handle(message) }
            letGo()
            step()
        }
        for resident in residents { resident.endAll(.shuttingDown) }
        residents = []
        for message in mailbox.close() { handle(message) }
    }

    /// One step of the next model in turn that has work.
    private func step() {
        for _ in residents.indices {
            turn = (turn + 1) % residents.count
            if residents[turn].step() { return }
        }
    }

    /// Drops the models whose time has come; tells so after their memory is free.
    private func letGo() {
        var told: [@Sendable () -> Void] = []
        residents.removeAll { resident in
            guard let leaving = resident.leaving else { return false }
            if !resident.isIdle {
                if Clock.seconds < leaving.deadline { return false }
                resident.endAll(leaving.error)
            }
            told.append(leaving.done)
            return true
        }
        for done in told { done() }
    }

    private func handle(_ message: InferenceThread.Message) {
        switch message {
        case .attach(let resident):
            if !isStopped { residents.append(resident.value) }
        case .detach(let key, let deadline, let error, let done):
            guard let resident = residents.first(where: { $0.record.key == key }) else { return done() }
            resident.leaving = (deadline, error, done)
        case .submit(let submission):
            if let resident = residents.first(where: { $0.record.key == submission.record.key }) {
                resident.submit(submission)
            } else {  // it came too late
                let error: EngineError = isStopped ? .shuttingDown : .modelUnloaded(submission.record.model.id, .manual)
                submission.fail(error, active: 0, at: Clock.seconds)
            }
        case .cancel(let id):
            for resident in residents where resident.cancel(id) { return }
        case .stop:
            isStopped = true
        }
    }
}
