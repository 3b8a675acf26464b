/* Preloaded into pyvol: on request of the test, fsync(2) and fdatasync(2) fail with EIO, as on a dying disk. Test
 * and pyvol both map the file with the orders (its name is in FSYNC_ORDERS), see fsync_fault.py. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct orders {
    uint32_t armed;         /* 0: no call fails */
    uint32_t lasting;       /* 0: one call fails; 1: this call and all later ones fail */
    int32_t skip;           /* how many calls succeed first */
    uint32_t failed;        /* how many have failed */
    char below[PATH_MAX];   /* only files and directories below this path count */
};

static struct orders *orders(void) {
    static struct orders *mapped;
    struct orders *seen = __atomic_load_n(&mapped, __ATOMIC_ACQUIRE);
    const char *name = getenv("FSYNC_ORDERS");

    if (!seen && name) {
        int file = open(name, O_RDWR | O_CLOEXEC);
        if (file < 0)
            abort();
        seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        close(file);
        if (seen == MAP_FAILED)
            abort();
        __atomic_store_n(&mapped, seen, __ATOMIC_RELEASE);
    }
    return seen;
}

static int fails(int descriptor) {
    struct orders *seen = orders();
    char link[64], path[PATH_MAX];
    ssize_t length;
    int32_t turn;

    if (!seen || !__atomic_load_n(&seen->armed, __ATOMIC_ACQUIRE))
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    if (strncmp(path, seen->below, strlen(seen->below)) != 0)
        return 0;
    turn = __atomic_fetch_sub(&seen->skip, 1, __ATOMIC_ACQ_REL);
    if (turn > 0 || (turn < 0 && !seen->lasting))
        return 0;
    __atomic_fetch_add(&seen->failed, 1, __ATOMIC_ACQ_REL);
    return 1;
}

#define REPLACE(name)                                     \
    int name(int descriptor) {                            \
        int (*real)(int) = dlsym(RTLD_NEXT, #name);       \
        if (fails(descriptor)) {                          \
            errno = EIO;                                  \
            return -1;                                    \
        }                                                 \
        return real(descriptor);                          \
    }

REPLACE(fsync)
REPLACE(fdatasync)
