// Put before the gateway by `instructions`: a worker is started under valgrind. The supervisor starts its processes from
// /proc/self/exe, which under valgrind would be valgrind itself.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>

typedef int (*spawn_function)(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, char *const[],
                              char *const[]);

int posix_spawn(pid_t *process, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
                char *const arguments[], char *const environment[]) {
    spawn_function real = (spawn_function)dlsym(RTLD_NEXT, "posix_spawn");
    char *program = getenv("PORTCULLIS_INSTRUCTIONS_PROGRAM"), *output = getenv("PORTCULLIS_INSTRUCTIONS_OUTPUT");
    char *more[64] = {"valgrind", "--tool=callgrind", output, program};
    int count = 4;
    if (!program || !output || !arguments[1] || strcmp(arguments[1], "worker") != 0)
        return real(process, path, actions, attributes, arguments, environment);
    for (int index = 1; arguments[index] && count < 63; index++) more[count++] = arguments[index];
    return real(process, "/usr/bin/valgrind", actions, attributes, more, environment);
}
