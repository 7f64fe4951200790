import Engine

/// The configuration of a running server. What may change while it runs is changed by `take`.
final class LiveConfiguration: Sendable {
    /// What a reload came to: names of keys.
    struct Change: Sendable, Equatable {
        var updated: [String] = []
        var needsRestart: [String] = []

        /// The sections in which something took effect, in their order.
        var sections: [String] {
            var sections: [String] = []
            for key in updated {
                let section = String(key.prefix { $0 != "." })
                if !sections.contains(section) { sections.append(section) }
            }
            return sections
        }
    }

    private let current: Locked<Configuration>

    init(_ configuration: Configuration) { current = Locked(configuration) }

    var value: Configuration { current.withLock { $0 } }

    /// Takes over every key that differs and may change; says which took effect and which wait for the next start.
    func take(_ new: Configuration) -> Change {
        current.withLock { running in
            var change = Change()
            for setting in Setting.all where !setting.same(running, new) {
                if setting.isLive {
                    setting.copy(new, &running)
                    change.updated.append(setting.key)
                } else {
                    change.needsRestart.append(setting.key)
                }
            }
            return change
        }
    }
}
