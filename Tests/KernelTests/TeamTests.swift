import CKernels
import TestSupport
import Testing

#if canImport(Glibc)
    internal import Glibc
#endif

extension KernelTests {
    @Suite struct TeamTests {
        @Test(arguments: 1...5)
        func everyMemberWorksOncePerRunAndTheCallerSeesIt(_ members: Int) {
            let team = Team(members)
            let counts = Block(Array(repeating: 0, count: members * 16))
            #expect(ck_team_members(team.team) == Int32(members))
            for round in 1...2000 {
                ck_team_run(
                    team.team,
                    { context, member, members in
                        let counts = context!.assumingMemoryBound(to: Int.self)
                        counts[Int(member) * 16] += members > 0 ? 1 : 0
                    }, counts.start)
                if (0..<members).contains(where: { counts.start[$0 * 16] != round }) {
                    Issue.record("round \(round) of \(members) members was not whole")
                    return
                }
            }
        }

        @Test func sleepersWakeAndIdleTeamsEnd() {
            for _ in 0..<20 {
                let team = Team(3)
                let counts = Block(Array(repeating: 0, count: 48))
                usleep(2000)  // longer than anybody spins
                ck_team_run(
                    team.team, { context, member, _ in context!.assumingMemoryBound(to: Int.self)[Int(member) * 16] = 1 }, counts.start)
                #expect([0, 16, 32].allSatisfy { counts.start[$0] == 1 })
                usleep(1000)
            }
        }
    }
}
