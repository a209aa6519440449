// Shifts the wall clock of a process tree: LD_PRELOAD this, with CLOCK_SHIFT naming a file of eight bytes that
// hold nanoseconds, which may change at any time. As with the kernel's own clock, waits for a moment by the
// wall clock end when the shifted clock reaches it; clocks that only go on are left alone.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
#define YEARS (30LL * 365 * 24 * 3600)  // seconds: less is a moment by the clock that began with the machine
#define SLICE 50000000LL  // nanoseconds after which a wait looks at the shift again

static volatile int64_t unshifted;
static volatile int64_t *shift = &unshifted;

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("CLOCK_SHIFT");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    void *mapped = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *shift, PROT_READ, MAP_SHARED, file, 0);
    if (file >= 0) close(file);
    if (mapped != MAP_FAILED) shift = mapped;
}

static int64_t machine_time(void) {
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
    return now.tv_sec * SECOND + now.tv_nsec;
}

static struct timespec moment(int64_t nanoseconds) {
    return (struct timespec){.tv_sec = nanoseconds / SECOND, .tv_nsec = nanoseconds % SECOND};
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE) return syscall(SYS_clock_gettime, clock, now);
    *now = moment(machine_time() + *shift);
    return 0;
}

int timespec_get(struct timespec *now, int base) {
    *now = moment(machine_time() + *shift);
    return base;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec shifted = moment(machine_time() + *shift);
    *now = (struct timeval){.tv_sec = shifted.tv_sec, .tv_usec = shifted.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *now) {
    time_t seconds = (machine_time() + *shift) / SECOND;
    if (now) *now = seconds;
    return seconds;
}

// Waits in slices by the machine's clock, until `wait` ends by itself or the shifted clock has reached `end`.
#define WAIT(NAME, VERSION, FAILED, TYPES, VALUES)                                                       \
    static int (*next) TYPES;                                                                            \
    if (!next) next = (int (*) TYPES)dlvsym(RTLD_NEXT, NAME, VERSION);                                   \
    if (!next) next = (int (*) TYPES)dlsym(RTLD_NEXT, NAME);                                             \
    if (end->tv_sec < YEARS) {                                                                           \
        struct timespec slice = *end;                                                                    \
        return next VALUES;                                                                              \
    }                                                                                                    \
    int64_t until = end->tv_sec * SECOND + end->tv_nsec;                                                 \
    for (;;) {                                                                                           \
        int64_t now = machine_time(), left = until - *shift - now;                                       \
        struct timespec slice = moment(now + (left < SLICE ? left : SLICE));                             \
        int status = next VALUES;                                                                        \
        if (!(FAILED) || machine_time() + *shift >= until) return status;                                \
    }

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict end) {
    WAIT("pthread_cond_timedwait", "GLIBC_2.3.2", status == ETIMEDOUT,
         (pthread_cond_t *, pthread_mutex_t *, const struct timespec *), (condition, mutex, &slice))
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict mutex, const struct timespec *restrict end) {
    WAIT("pthread_mutex_timedlock", "GLIBC_2.34", status == ETIMEDOUT,
         (pthread_mutex_t *, const struct timespec *), (mutex, &slice))
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict end) {
    WAIT("sem_timedwait", "GLIBC_2.34", status == -1 && errno == ETIMEDOUT,
         (sem_t *, const struct timespec *), (semaphore, &slice))
}
