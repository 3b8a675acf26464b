/* Preloaded into linux.uml. Debian's 6.1 keeps 2696 bytes of FPU state (XSAVE) per task. On a CPU with a larger
 * state (AMX: 11008 bytes) the kernel refuses to set less than the whole state (PTRACE_SETREGSET: EFAULT), and the
 * guest panics with "ptrace set fp regs failed". This shim pads the guest's state with zeroes, and clears the bits of
 * the state beyond it: the state of AMX tiles, which are off unless a process asks for them. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PEEKTEXT = 1, PEEKUSER = 3, GETREGSET = 0x4204, SETREGSET = 0x4205, NT_X86_XSTATE = 0x202 };
enum { XSTATE_BV = 512 };                                   /* the offset of the bit map in the XSAVE area */
enum { LEGACY = 0x3, WITH_AVX = 0x7, WITH_AVX512_PKRU = 0x2ff };

static long raw_ptrace(long request, pid_t pid, void *address, void *data) {
    return syscall(SYS_ptrace, request, (long)pid, address, data);
}

static long set_xstate(pid_t pid, void *address, struct iovec *kept) {
    static size_t whole;
    static __thread char area[32768] __attribute__((aligned(64)));
    uint64_t state;

    if (!whole) {
        struct iovec asked = { area, sizeof area };
        if (raw_ptrace(GETREGSET, pid, address, &asked) < 0)
            return -1;
        whole = asked.iov_len;
    }
    if (kept->iov_len >= whole || whole > sizeof area)
        return raw_ptrace(SETREGSET, pid, address, kept);
    memcpy(area, kept->iov_base, kept->iov_len);
    memset(area + kept->iov_len, 0, whole - kept->iov_len);
    memcpy(&state, area + XSTATE_BV, sizeof state);
    state &= kept->iov_len >= 2696 ? WITH_AVX512_PKRU : kept->iov_len >= 832 ? WITH_AVX : LEGACY;
    memcpy(area + XSTATE_BV, &state, sizeof state);
    return raw_ptrace(SETREGSET, pid, address, &(struct iovec){ area, whole });
}

long ptrace(int request, pid_t pid, void *address, void *data) {
    long word;

    if (request == SETREGSET && (uintptr_t)address == NT_X86_XSTATE)
        return set_xstate(pid, address, data);
    if (request < PEEKTEXT || request > PEEKUSER)
        return raw_ptrace(request, pid, address, data);
    /* The system call stores the peeked word; libc's function returns it. */
    if (raw_ptrace(request, pid, address, &word) < 0)
        return -1;
    errno = 0;
    return word;
}
