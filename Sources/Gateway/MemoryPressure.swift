/// How much memory the worker holds, beside what `client_limits` gives it.
enum MemoryPressure: Equatable {
    case none
    /// More than it should: clients that hold more than their share get no further request.
    case high
    /// By half more than it should: nobody gets a further request.
    case extreme
}
