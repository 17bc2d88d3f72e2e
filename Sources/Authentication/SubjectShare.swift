/// Counts the requests of one subject that are under way in a worker.
package final class SubjectShare {
    private var underWay = 0
    package var requests: Int { underWay }

    package init() {}

    package func requestBegan() { underWay += 1 }
    package func requestEnded() { underWay -= 1 }
}
