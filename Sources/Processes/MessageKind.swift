/// What the processes of the gateway say to each other. Each message starts with one byte that names it.
package enum MessageKind: UInt8, Sendable {
    // supervisor to worker
    /// The session ticket keys.
    case ticketKeys = 1
    /// The end of the channel to the control process comes along.
    case controlChannel
    /// Take no more connections, finish those in flight, end. One byte: whether idle connections are closed at once.
    case drain

    // worker to supervisor
    /// The worker takes connections.
    case ready

    // supervisor to control
    /// The end of the channel to a worker comes along; a number names its slot.
    case workerChannel
    /// A log was opened; one byte names it and the descriptor comes along.
    case log
    /// Write what is left and end.
    case finish

    // control to supervisor, and back to the control process that comes after it
    /// A name and a document or addresses: what was found out last and is still good.
    case remember

    // supervisor to the supervisor that takes over, which answers with `ready`
    /// A text names the address; the socket comes along.
    case listeningSocket
    /// A number of slots in use, the slots; the memory comes along.
    case sharedMemory
    /// Everything has been handed over.
    case bequestComplete

    // control to worker
    /// A number names the issuer; the key set's document.
    case keySet
    /// A number names the issuer whose keys are what they were; another is 1 where nobody could find out whether they have changed.
    case keySetUnchanged
    /// A host name, a number of addresses, the addresses.
    case addresses
    /// All that was to be found out at first has been tried.
    case initialStateComplete

    /// A number names the issuer whose keys could not be fetched for so long that they are used no longer.
    case keySetWithdrawn

    // supervisor to control
    /// The memory of a worker's comes along; a number names its slot.
    case workerMemory

    // worker to control
    /// A number names the issuer of which an unknown key was seen.
    case wantKeys

    // Added since: the numbers above stay, because one version of the program hands over to the next.

    // supervisor to control
    /// The memory of a process that has counted something, of this generation or another; a number names its slot.
    case countingMemory
    /// A bound socket comes along: a number is its role among ``LocalRole``, another its place among those of the file.
    case localSocket
    /// Another control process is in charge: take no more connections at the local sockets, and look at no servers.
    case leaveLocalSockets
    /// A ``GatewayState``.
    case state
    /// What became of a command: its number, 1 where it was done, a text.
    case outcome

    // control to supervisor
    /// A number that the outcome will bear, a word for what is to be done, and what more it needs.
    case command

    // supervisor to the supervisor that takes over
    /// A number names the slot; its memory comes along.
    case slotMemory

    // supervisor to worker, after `drain`
    /// Streams and tunnels end now.
    case endStreams

    // supervisor to worker and control
    /// A listener's certificate has changed: the listener's number and the certificate's, the chain, and for a worker the key.
    case certificate

    // supervisor to the supervisor that has taken over
    /// The service manager has been told that it is the service now.
    case handedOver

    // control to worker
    /// A ``ServiceMessage``: a service and its servers.
    case service

    // supervisor to worker and control, and to the supervisor that takes over
    /// One byte, a ``LogLevel``.
    case logLevel

    // supervisor to worker
    /// A file with the password of a Redis has changed: the number of the `redis`, 1 where the password is the sentinels', and what stands in the file.
    case storePassword

    // control to worker
    /// A ``LimitMessage``: a number that the answer will bear, and what an operator asks of a limit.
    case limitQuestion

    // worker to control
    /// The number, and what the worker answers.
    case limitAnswer

    // supervisor to worker and control
    /// A certificate that servers are shown has changed: the names of its two files, and what stands in them.
    case clientCertificate
}
