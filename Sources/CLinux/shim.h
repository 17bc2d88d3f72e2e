// The Linux interfaces that Swift's Glibc module does not carry, and static-inline shims for macros and variadic calls.
//
// _GNU_SOURCE stays undefined: Swift's own Glibc module is built without it, and two modules that see one header differently
// cannot both be imported. What is behind it is declared here.
#pragma once
#include <crypt.h>
#include <errno.h>
#include <linux/memfd.h>
#include <malloc.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <resolv.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <linux/sockios.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <dirent.h>

extern char **environ;
int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);
int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int from);

// Enumerators and casts in macros that Swift does not import as numbers.
static const int pc_msg_nosignal = MSG_NOSIGNAL;
static inline const char *pc_error_text(int code, char *buffer, size_t size) { return strerror_r(code, buffer, size) == 0 ? buffer : "unknown error"; }
static inline int pc_errno(void) { return errno; }
static inline int pc_is_map_failed(const void *p) { return p == MAP_FAILED; }
static const int pc_eventfd_flags = EFD_CLOEXEC | EFD_NONBLOCK;
static const int pc_epoll_cloexec = EPOLL_CLOEXEC;

static const int pc_signalfd_flags = SFD_CLOEXEC | SFD_NONBLOCK;
static inline ssize_t pc_sendto(int fd, const void *bytes, size_t count, const void *address, unsigned size) {
    return sendto(fd, bytes, count, MSG_NOSIGNAL, (const struct sockaddr *)address, size);
}
// What has been taken from the heap and not been given back, large blocks that are mapped by themselves included.
static inline size_t pc_heap_in_use(void) { struct mallinfo2 info = mallinfo2(); return info.uordblks + info.hblkhd; }
static inline char **pc_environment(void) { return environ; }
// The type of RLIMIT_NOFILE depends on how the header is read.
static inline void pc_raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}
static inline void pc_ignore_signal(int number) { signal(number, SIG_IGN); }
static inline int pc_open(const char *path, int flags, unsigned mode) { return open(path, flags, mode); }
static inline int pc_openat(int folder, const char *name, int flags, unsigned mode) { return openat(folder, name, flags, mode); }
static inline int pc_fcntl(int fd, int command, int value) { return fcntl(fd, command, value); }
static inline int pc_prctl(int option, unsigned long value) { return prctl(option, value, 0, 0, 0); }
static inline int pc_memfd_create(const char *name) { return (int)syscall(SYS_memfd_create, name, MFD_CLOEXEC | MFD_ALLOW_SEALING); }
// No process that maps the memory can shrink it under the others.
// The numbers are F_ADD_SEALS, F_SEAL_SHRINK and F_SEAL_GROW of linux/fcntl.h, which cannot stand beside the C library's.
static inline int pc_seal_size(int fd) { return fcntl(fd, 1024 + 9, 0x2 | 0x4); }
static inline int pc_exited(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : -1; }
static inline int pc_signalled(int status) { return WIFSIGNALED(status) ? WTERMSIG(status) : 0; }
static inline int pc_bind(int fd, const void *address, unsigned size) { return bind(fd, (const struct sockaddr *)address, size); }
static inline int pc_connect(int fd, const void *address, unsigned size) { return connect(fd, (const struct sockaddr *)address, size); }
static inline int pc_accept(int fd, void *address, unsigned *size, int flags) {
    return accept4(fd, (struct sockaddr *)address, size, flags);
}
// struct ucred and SO_PEERGROUPS are behind _GNU_SOURCE: the kernel's layout is three numbers, SO_PEERCRED is 17, SO_PEERGROUPS 59.
static inline int pc_peer_credentials(int fd, int *process, unsigned *user, unsigned *group, unsigned *groups, unsigned count) {
    struct { int process; unsigned user, group; } peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, 17, &peer, &size) != 0) return -1;
    *process = peer.process, *user = peer.user, *group = peer.group;
    size = count * sizeof *groups;
    return getsockopt(fd, SOL_SOCKET, 59, groups, &size) == 0 ? (int)(size / sizeof *groups) : 0;
}
static inline int pc_unsent_bytes(int fd) { int count = 0; return ioctl(fd, SIOCOUTQ, &count) == 0 ? count : 0; }
static inline int pc_getpeername(int fd, void *address, unsigned *size) { return getpeername(fd, (struct sockaddr *)address, size); }
static inline int pc_getsockname(int fd, void *address, unsigned *size) { return getsockname(fd, (struct sockaddr *)address, size); }
// CMSG_* are macros, so a message that carries at most one descriptor is built and read here.
static inline ssize_t pc_send_with_descriptor(int socket, const void *bytes, size_t count, int descriptor) {
    struct iovec part = {(void *)bytes, count};
    union { char space[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control;
    struct msghdr message = {0};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (descriptor >= 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.space;
        message.msg_controllen = sizeof control.space;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}
static inline ssize_t pc_receive_with_descriptor(int socket, void *bytes, size_t count, int *descriptor, int *truncated) {
    struct iovec part = {bytes, count};
    union { char space[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control;
    struct msghdr message = {0};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.space;
    message.msg_controllen = sizeof control.space;
    *descriptor = -1;
    ssize_t received = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    *truncated = received >= 0 && (message.msg_flags & MSG_TRUNC) != 0;
    if (received >= 0) {
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) memcpy(descriptor, CMSG_DATA(header), sizeof(int));
    }
    return received;
}
// The resolver's functions and the parts of a DNS message are behind macros.
typedef struct __res_state pc_resolver_state;
static inline int pc_resolver_open(struct __res_state *state) {
    memset(state, 0, sizeof *state);
    return res_ninit(state);
}
static inline void pc_resolver_close(struct __res_state *state) { res_nclose(state); }
static inline void pc_resolver_forget_servers(struct __res_state *state) {
    // Only as many are given back later as there are servers then.
    for (int place = 0; place < MAXNS; place++) {
        free(state->_u._ext.nsaddrs[place]);
        state->_u._ext.nsaddrs[place] = 0;
    }
    state->nscount = 0;
}
// Without EDNS an answer has 512 bytes, or a part of the servers (RFC 6891).
static inline void pc_resolver_use_edns(struct __res_state *state) { state->options |= RES_USE_EDNS0; }
// A server of IPv6 stands in memory of its own, which res_nclose gives back.
static inline int pc_resolver_add_server(struct __res_state *state, const void *address, unsigned size) {
    int place = state->nscount;
    if (place >= MAXNS) return -1;
    if (size == sizeof(struct sockaddr_in)) {
        memcpy(&state->nsaddr_list[place], address, size);
    } else {
        if (size != sizeof(struct sockaddr_in6)) return -1;
        struct sockaddr_in6 *own = state->_u._ext.nsaddrs[place];
        if (!own) own = (struct sockaddr_in6 *)malloc(sizeof *own);
        if (!own) return -1;
        memcpy(own, address, size);
        state->_u._ext.nsaddrs[place] = own;
        memset(&state->nsaddr_list[place], 0, sizeof state->nsaddr_list[place]);
    }
    state->nscount = place + 1;
    return 0;
}
static inline int pc_resolver_query(struct __res_state *state, const char *name, int type, unsigned char *answer, int size) {
    return res_nquery(state, name, ns_c_in, type, answer, size);
}
static inline int pc_resolver_error(const struct __res_state *state) { return state->res_h_errno; }
static inline int pc_dns_count(const ns_msg *message, int section) { return message->_counts[section]; }
static const int pc_dns_answer = ns_s_an, pc_dns_additional = ns_s_ar;
static const int pc_dns_name_max = NS_MAXDNAME;
