"""Listens at a socket (argv 1) as systemd does with NotifyAccess=main: to one process, until that one names another. Prints what it hears,
and what it would write into the journal as not permitted."""
import socket
import struct
import sys

listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
listener.bind(sys.argv[1])
print("listening", flush=True)
main = None
while True:
    data, ancillary, _, _ = listener.recvmsg(4096, socket.CMSG_SPACE(struct.calcsize("3i")))
    sender = struct.unpack("3i", ancillary[0][2])[0]
    main = main or sender
    text = data.decode()
    print("heard" if sender == main else "refused", sender, text.replace("\n", " "), flush=True)
    for line in text.split("\n"):
        if sender == main and line.startswith("MAINPID="):
            main = int(line[8:])
