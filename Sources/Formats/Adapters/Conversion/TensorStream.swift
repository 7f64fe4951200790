internal import Weights

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Musl
#endif

/// Carries one tensor into a file: pieces of some megabytes, each made by several threads and written in order.
struct TensorStream {
    private static let pieceBytes = 4 << 20

    let source: any ModelSource
    let threads: Int
    let stop: () throws(ModelError) -> Void

    /// Writes the planes one after another; those after the first are held until the first is complete.
    /// - Returns: what the rounding of numbers, where there was one, cost.
    func write(_ move: TensorMove, to file: OutputFile, progress: (Int) -> Void) throws(ModelError) -> ConversionReport.Loss {
        let sizes = move.planeRowBytes, rowBytes = sizes.reduce(0, +)
        let rows = move.record.rows
        let piece = Swift.max(1, Swift.min(rows, Self.pieceBytes / Swift.max(rowBytes, 1)))
        var later = Array(repeating: [UInt8](), count: Swift.max(sizes.count - 1, 0))
        for plane in later.indices { later[plane].reserveCapacity(sizes[plane + 1] * rows) }
        let room = Piece(sizes, rows: piece)
        var sums = ErrorSums()
        let writers = Team(move, source, threads: Swift.min(threads, piece))
        var row = 0
        while row < rows {
            try stop()
            let count = Swift.min(piece, rows - row)
            sums.add(writers.run(rows: row..<row + count, into: room))
            try unsafe file.append(room.plane(0, rows: count))
            for plane in later.indices { unsafe later[plane].append(contentsOf: room.plane(plane + 1, rows: count)) }
            row += count
            progress(count * rowBytes)
        }
        for plane in later { try file.append(plane) }
        for plane in move.record.planes { source.storages[plane.file].release(plane.range) }
        if case .requantised = move.loss { return sums.loss }
        return move.loss
    }
}

/// Room for the planes of a number of rows.
@safe private final class Piece: @unchecked Sendable {  // threads write disjoint rows
    private let sizes: [Int]
    private let memory: [UnsafeMutableRawBufferPointer]

    init(_ sizes: [Int], rows: Int) {
        self.sizes = sizes
        unsafe memory = sizes.map { UnsafeMutableRawBufferPointer.allocate(byteCount: Swift.max($0 * rows, 1), alignment: 16) }
    }

    func row(_ index: Int) -> MutableRowBytes {
        func part(_ plane: Int) -> UnsafeMutableRawBufferPointer {
            guard plane < sizes.count else { return unsafe UnsafeMutableRawBufferPointer(start: nil, count: 0) }
            return unsafe UnsafeMutableRawBufferPointer(rebasing: memory[plane][index * sizes[plane]..<(index + 1) * sizes[plane]])
        }
        return unsafe MutableRowBytes(codes: part(0), scales: part(1), offsets: part(2))
    }

    func plane(_ plane: Int, rows: Int) -> UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(rebasing: memory[plane][..<(rows * sizes[plane])])
    }

    deinit { unsafe memory.forEach { unsafe $0.deallocate() } }
}

/// Threads that make the rows of a piece, each its own stretch.
private struct Team {
    /// What one thread works on. Touched by that thread alone between its start and its end.
    private final class Share: @unchecked Sendable {
        var writer: RowWriter
        var rows = 0..<0
        var first = 0  // of the piece
        var piece: Piece?

        init(_ writer: RowWriter) { self.writer = writer }

        func work() {
            guard let piece else { return }
            for row in rows { unsafe writer.write(row: row, into: piece.row(row - first)) }
        }
    }

    private let move: TensorMove
    private let source: any ModelSource
    private let threads: Int

    init(_ move: TensorMove, _ source: any ModelSource, threads: Int) {
        self.move = move
        self.source = source
        // Copies are as fast as the disk with one.
        if case .bytes = move.way { self.threads = 1 } else { self.threads = Swift.max(threads, 1) }
    }

    func run(rows: Range<Int>, into piece: Piece) -> ErrorSums {
        let each = (rows.count + threads - 1) / threads
        let shares = stride(from: rows.lowerBound, to: rows.upperBound, by: Swift.max(each, 1)).map { start in
            let share = Share(RowWriter(move, from: source))
            share.rows = start..<Swift.min(start + each, rows.upperBound)
            share.first = rows.lowerBound
            share.piece = piece
            return share
        }
        var started: [pthread_t] = []
        for share in shares.dropFirst() {
            var thread = pthread_t()
            let argument = unsafe Unmanaged.passRetained(share).toOpaque()
            let failed = unsafe pthread_create(
                &thread, nil,
                { argument in
                    guard let argument = unsafe argument else { return nil }
                    unsafe Unmanaged<Share>.fromOpaque(argument).takeRetainedValue().work()
                    return nil
                }, argument)
            if failed == 0 {
                started.append(thread)
            } else {
                unsafe Unmanaged<Share>.fromOpaque(argument).release()
                share.work()
            }
        }
        shares.first?.work()
        for thread in started { pthread_join(thread, nil) }
        var sums = ErrorSums()
        for share in shares { sums.add(share.writer.errors) }
        return sums
    }
}
