internal import CKernels
internal import Weights

/// What the scales of a tensor have in common, which only reading them tells: it may need fewer of them than its format keeps.
///
///     offset = −2^(bits − 1) · scale everywhere     codes with a constant zero and no offset, as Q4_0 and Q8_0 have it
///     neighbouring groups agree everywhere          groups twice or four times as wide, up to 128 columns
///
/// Both are the same real numbers with fewer bytes, so that the same codes run alike from whatever file they came.
struct ScaleSurvey {
    /// Whether every offset is exactly −zero · scale.
    private(set) var isCentred: Bool
    /// So many neighbouring groups have the same scale and the same offset: 1, 2 or 4.
    private(set) var merged: Int

    private let zero: Float
    private let number: Packing.Number
    private let groups: Int  // of a row

    private static let widest = 128
    /// Bytes of a file between two releases.
    private static let sliceBytes = 8 << 20

    /// The form that a tensor is executed in: the form of its format, or one with fewer scales and the same weights.
    static func form(_ form: ck_form, of record: StoredTensor, in source: any ModelSource, _ kernels: Kernels) -> ck_form {
        guard var survey = ScaleSurvey(form, record) else { return form }
        survey.read(record, in: source, kernels)
        var narrow = form
        narrow.group *= UInt16(survey.merged)
        if survey.isCentred {
            narrow.has_offset = false
            narrow.zero = UInt8(survey.zero)
        }
        return ck_panel_bytes(&narrow, Int64(record.columns)) > 0 ? narrow : form
    }

    /// Nil where nothing can come of it.
    private init?(_ form: ck_form, _ record: StoredTensor) {
        guard case .codes(let bits, let group, .flat(let number), let hasOffset, let zero, let codebook, _) = record.format.packing,
            ScalePlaces.has(record.format), codebook.isEmpty
        else { return nil }
        self.number = number
        let groups = record.columns / group
        self.groups = groups
        // The product of an f32 scale and a code is rounded before the offset is added: leaving it out would not be exact.
        isCentred = hasOffset && zero == 0 && number != .f32
        self.zero = Float(1 << (bits - 1))
        merged = [4, 2].first { $0 * group <= Self.widest && groups % $0 == 0 } ?? 1
        if isSettled { return nil }
    }

    /// Nothing more can be lost.
    private var isSettled: Bool { !isCentred && merged == 1 }

    private mutating func read(_ record: StoredTensor, in source: any ModelSource, _ kernels: Kernels) {
        let places = ScalePlaces(record, in: source)
        narrow(places, row: 0)
        let rowBytes = max(1, record.byteCount / max(1, record.rows))
        let slice = max(1, Self.sliceBytes / rowBytes)
        var first = 0
        while first < record.rows, !isSettled {
            let rows = first..<min(record.rows, first + slice)
            readTogether(places, rows, kernels)
            source.release(rows, of: record)
            first = rows.upperBound
        }
    }

    private mutating func readTogether(_ places: ScalePlaces, _ rows: Range<Int>, _ kernels: Kernels) {
        let start = self
        withUnsafeTemporaryAllocation(of: ScaleSurvey.self, capacity: kernels.members) { found in
            found.initialize(repeating: start)
            kernels.run { member, members in
                var survey = start
                for row in rows.part(member, of: members) where !survey.isSettled { survey.narrow(places, row: row) }
                found[member] = survey
            }
            for other in found {
                isCentred = isCentred && other.isCentred
                merged = min(merged, other.merged)
            }
        }
    }

    /// One row more.
    private mutating func narrow(_ places: ScalePlaces, row: Int) {
        var last = (scale: UInt32(0), offset: UInt32(0))
        for group in 0..<groups {
            let next = (scale: places.scale(row, group), offset: places.offset(row, group))
            if isCentred {
                let step = HalfPrecision.float(next.scale, as: number)
                isCentred = (2 * zero * step).isFinite && HalfPrecision.float(next.offset, as: number) == -zero * step
            }
            // Of four groups 0, 1, 2, 3 the middle pair may differ where two are merged.
            if group % merged != 0, next != last { merged = group % 4 == 2 ? 2 : 1 }
            last = next
            if isSettled { return }
        }
    }
}

/// Where the flat scales of a tensor lie.
private struct ScalePlaces {
    private let scales: StoredRows.Plane
    private let offsets: StoredRows.Plane?
    private let stride: Int  // from group to group
    private let isWide: Bool

    static func has(_ format: any QuantFormat) -> Bool {
        format is Affine || format is Q4_0 || format is Q4_1 || format is Q5_0 || format is Q5_1 || format is Q8_0
    }

    init(_ record: StoredTensor, in source: any ModelSource) {
        let rows = StoredRows(record, in: source)
        if let affine = record.format as? Affine {
            scales = rows.scales
            offsets = rows.offsets
            stride = affine.scale.byteCount
            isWide = affine.scale == .f32
        } else {  // ggml's blocks begin with the scale, and with the offset where they have one
            let hasOffset = record.format is Q4_1 || record.format is Q5_1
            scales = rows.codes
            offsets = hasOffset ? StoredRows.Plane(start: rows.codes.start.map { $0 + 2 }, stride: rows.codes.stride) : nil
            stride = record.format.bytesPerBlock[0]
            isWide = false
        }
    }

    func scale(_ row: Int, _ group: Int) -> UInt32 { load(scales, row, group) }
    /// 0 where the format has none.
    func offset(_ row: Int, _ group: Int) -> UInt32 { offsets.map { load($0, row, group) } ?? 0 }

    @inline(__always)
    private func load(_ plane: StoredRows.Plane, _ row: Int, _ group: Int) -> UInt32 {
        guard let start = plane.start else { return 0 }
        let at = start + row * plane.stride + group * stride
        return isWide
            ? UInt32(littleEndian: at.loadUnaligned(as: UInt32.self)) : UInt32(UInt16(littleEndian: at.loadUnaligned(as: UInt16.self)))
    }
}

extension Range<Int> {
    /// The share of one member of a team.
    func part(_ member: Int, of members: Int) -> Range<Int> {
        lowerBound + count * member / members..<lowerBound + count * (member + 1) / members
    }
}

extension ModelSource {
    /// Says that rows of a tensor will not be read again soon.
    func release(_ rows: Range<Int>, of record: StoredTensor) {
        guard record.rows > 0, !record.format.sharesBytes || rows.count == record.rows else { return }
        for plane in record.planes where storages.indices.contains(plane.file) {
            let length = plane.range.count / record.rows
            let start = plane.range.lowerBound + rows.lowerBound * length
            storages[plane.file].release(start..<(rows.upperBound == record.rows ? plane.range.upperBound : start + rows.count * length))
        }
    }
}
