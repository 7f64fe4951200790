/// What one rendering has used up so far.
final class Budget {
    private(set) var steps = 0
    /// Generators that are being drawn from inside one another right now.
    var pulls = 0
    private var representations = 0

    func charge(_ count: Int) throws(TemplateError) {
        steps &+= count
        if steps > TemplateLimits.steps { throw TemplateError(.budget, "more than \(TemplateLimits.steps) steps") }
    }

    func charge(bytes: Int) throws(TemplateError) { try charge(bytes / TemplateLimits.bytesPerStep) }
    func charge(elements: Int) throws(TemplateError) { try charge(elements / TemplateLimits.elementsPerStep) }

    /// Namespaces can hold each other in circles, so showing them counts how deep it is.
    func enterRepresentation() throws(TemplateError) {
        representations += 1
        if representations > TemplateLimits.generatorDepth { throw TemplateLimits.tooDeep }
    }

    func leaveRepresentation() { representations -= 1 }
}
