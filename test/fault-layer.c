/*
 * A disk that fails on command, laid under a program with LD_PRELOAD. Only files below FAULT_DIR are touched.
 *
 * Files in FAULT_CONTROL switch faults while they exist:
 *   enospc           writes behind the end of a file fail with ENOSPC; to overwrite, a full disk has room
 *   eio-sync         fsync, fdatasync and msync fail with EIO;  eio-sync-once: the next one only
 *   eio-dsync        writes through O_DSYNC descriptors fail with EIO;  eio-dsync-once: the next one only
 * FAULT_ENOSPC_AFTER=N: no write succeeds after N bytes.
 *
 * With FAULT_UNDO=1 it keeps FAULT_CONTROL/undo: what stood in each place before it was written, until a sync of the
 * file succeeds. test/fault-layer.ts takes a random part of it back after the program was killed, which leaves what a
 * power cut could leave. Names of files (made, renamed, removed) are taken as durable, and so are their lengths.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITTEN = 1, SYNCED = 2, DURABLE = 3, LOST = 4 };
struct entry { uint64_t kind, inode, offset, length; };

#define MOST_FILES 8192
static struct { uint64_t inode; int dsync; } files[MOST_FILES];
/* Inodes with writes that are not synced. */
#define MOST_DIRTY 1024
static uint64_t dirty[MOST_DIRTY];
static int dirty_count, some_lost;

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static char folder[4096], control[4096];
static size_t folder_length;
static int undo_fd = -1;
static int64_t room = -1;

static int (*real_open)(const char *, int, ...);
static int (*real_openat)(int, const char *, int, ...);
static int (*real_close)(int);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_pread)(int, void *, size_t, off_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_msync)(void *, size_t, int);
static int (*real_ftruncate)(int, off_t);

static void start(void) {
  real_open = dlsym(RTLD_NEXT, "open64");
  real_openat = dlsym(RTLD_NEXT, "openat64");
  real_close = dlsym(RTLD_NEXT, "close");
  real_write = dlsym(RTLD_NEXT, "write");
  real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
  real_pread = dlsym(RTLD_NEXT, "pread64");
  real_writev = dlsym(RTLD_NEXT, "writev");
  real_pwritev = dlsym(RTLD_NEXT, "pwritev64");
  real_fsync = dlsym(RTLD_NEXT, "fsync");
  real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
  real_msync = dlsym(RTLD_NEXT, "msync");
  real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
  const char *dir = getenv("FAULT_DIR"), *where = getenv("FAULT_CONTROL"), *after = getenv("FAULT_ENOSPC_AFTER");
  if (!dir || !where || !realpath(dir, folder)) return;
  snprintf(control, sizeof control, "%s", where);
  if (after) room = atoll(after);
  if (getenv("FAULT_UNDO")) {
    char name[5000];
    snprintf(name, sizeof name, "%s/undo", control);
    undo_fd = real_open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  }
  folder_length = strlen(folder);
}

static int flagged(const char *flag, int once_only) {
  char name[5000];
  snprintf(name, sizeof name, "%s/%s", control, flag);
  return once_only ? unlink(name) == 0 : access(name, F_OK) == 0;
}

static int opened(int fd, int flags) {
  if (fd < 0 || fd >= MOST_FILES) return fd;
  files[fd].inode = 0;
  if (!folder_length || (flags & O_ACCMODE) == O_RDONLY) return fd;
  char link[64], name[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, name, sizeof name - 1);
  if (length < 0) return fd;
  name[length] = 0;
  struct stat facts;
  if (strncmp(name, folder, folder_length) || name[folder_length] != '/') return fd;
  if (length > 9 && !strcmp(name + length - 9, "/lock.mdb")) return fd; /* mapped, and made anew at each start */
  if (fstat(fd, &facts) || !S_ISREG(facts.st_mode)) return fd;
  files[fd].inode = facts.st_ino;
  files[fd].dsync = (flags & O_DSYNC) != 0;
  return fd;
}

/* A descriptor may have been closed past us (by a bare system call) and mean something else now. */
static int ours(int fd) {
  struct stat facts;
  if (fd < 0 || fd >= MOST_FILES || files[fd].inode == 0) return 0;
  if (!fstat(fd, &facts) && S_ISREG(facts.st_mode) && facts.st_ino == files[fd].inode) return 1;
  files[fd].inode = 0;
  return 0;
}

static void note(uint64_t kind, uint64_t inode, uint64_t offset, uint64_t length, const void *octets) {
  if (undo_fd < 0) return;
  struct entry entry = {kind, inode, offset, length};
  struct iovec parts[2] = {{&entry, sizeof entry}, {(void *)octets, octets ? length : 0}};
  if (real_writev(undo_fd, parts, octets ? 2 : 1) < 0) abort();
}

static void mark_dirty(uint64_t inode) {
  for (int i = 0; i < dirty_count; i++) if (dirty[i] == inode) return;
  if (dirty_count == MOST_DIRTY) abort();
  dirty[dirty_count++] = inode;
}

static void mark_clean(uint64_t inode) {
  for (int i = 0; i < dirty_count; i++)
    if (dirty[i] == inode) { dirty[i] = dirty[--dirty_count]; break; }
  if (undo_fd >= 0 && dirty_count == 0 && !some_lost && real_ftruncate(undo_fd, 0)) abort();
}

/* Called with the turn held. 0, or the error that this write meets. */
static int before_write(int fd, off_t offset, size_t length) {
  struct stat facts;
  if (!fstat(fd, &facts) && offset + (off_t)length > facts.st_size && flagged("enospc", 0)) return ENOSPC;
  if (room >= 0 && (room -= (int64_t)length) < 0) { room = 0; return ENOSPC; }
  if (files[fd].dsync) {
    if (flagged("eio-dsync", 0) || flagged("eio-dsync-once", 1)) return EIO;
  }
  if (undo_fd < 0) return 0;
  char *before = calloc(1, length);
  char name[64];
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  int reader = real_open(name, O_RDONLY | O_CLOEXEC); /* the descriptor itself may be for writing only */
  if (reader < 0 || real_pread(reader, before, length, offset) < 0) abort();
  real_close(reader);
  note(WRITTEN, files[fd].inode, offset, length, before);
  mark_dirty(files[fd].inode);
  free(before);
  return 0;
}

static void after_write(int fd, off_t offset, ssize_t written) {
  if (files[fd].dsync && written > 0) note(DURABLE, files[fd].inode, offset, written, NULL);
}

/* Where a write without an offset goes. */
static off_t position(int fd) {
  struct stat facts;
  if (fcntl(fd, F_GETFL) & O_APPEND) return fstat(fd, &facts) ? 0 : facts.st_size;
  off_t at = lseek(fd, 0, SEEK_CUR);
  return at < 0 ? 0 : at;
}

static size_t total(const struct iovec *parts, int count) {
  size_t sum = 0;
  for (int i = 0; i < count; i++) sum += parts[i].iov_len;
  return sum;
}

#define WRITE(fd, offset_of, length, call)                     \
  pthread_once(&once, start);                                  \
  if (!ours(fd)) return call;                                  \
  pthread_mutex_lock(&turn);                                   \
  off_t offset_ = (offset_of);                                 \
  int error_ = before_write(fd, offset_, length);              \
  ssize_t done_ = error_ ? -1 : call;                          \
  if (error_) errno = error_;                                  \
  else { int kept_ = errno; after_write(fd, offset_, done_); errno = kept_; } \
  pthread_mutex_unlock(&turn);                                 \
  return done_;

ssize_t write(int fd, const void *octets, size_t length) {
  WRITE(fd, position(fd), length, real_write(fd, octets, length))
}
ssize_t pwrite(int fd, const void *octets, size_t length, off_t offset) {
  WRITE(fd, offset, length, real_pwrite(fd, octets, length, offset))
}
ssize_t pwrite64(int fd, const void *octets, size_t length, off_t offset) {
  WRITE(fd, offset, length, real_pwrite(fd, octets, length, offset))
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
  WRITE(fd, position(fd), total(parts, count), real_writev(fd, parts, count))
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
  WRITE(fd, offset, total(parts, count), real_pwritev(fd, parts, count, offset))
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset) {
  WRITE(fd, offset, total(parts, count), real_pwritev(fd, parts, count, offset))
}

/* No write may slip in while the sync runs: whether it were part of it could not be told. */
static int sync_file(int fd, int (*call)(int)) {
  pthread_mutex_lock(&turn);
  uint64_t inode = files[fd].inode;
  int result;
  if (flagged("eio-sync", 0) || flagged("eio-sync-once", 1)) {
    note(LOST, inode, 0, 0, NULL);
    some_lost = 1;
    errno = EIO;
    result = -1;
  } else {
    result = call(fd);
    if (result == 0) {
      note(SYNCED, inode, 0, 0, NULL);
      mark_clean(inode);
    }
  }
  int kept = errno;
  pthread_mutex_unlock(&turn);
  errno = kept;
  return result;
}

int fsync(int fd) {
  pthread_once(&once, start);
  return ours(fd) ? sync_file(fd, real_fsync) : real_fsync(fd);
}
int fdatasync(int fd) {
  pthread_once(&once, start);
  return ours(fd) ? sync_file(fd, real_fdatasync) : real_fdatasync(fd);
}
int msync(void *address, size_t length, int flags) {
  pthread_once(&once, start);
  if (folder_length && flagged("eio-sync", 0)) { errno = EIO; return -1; }
  return real_msync(address, length, flags);
}

static int truncate_file(int fd, off_t length) {
  pthread_once(&once, start);
  struct stat facts;
  if (ours(fd) && !fstat(fd, &facts) && length > facts.st_size && flagged("enospc", 0)) { errno = ENOSPC; return -1; }
  return real_ftruncate(fd, length);
}
int ftruncate(int fd, off_t length) { return truncate_file(fd, length); }
int ftruncate64(int fd, off_t length) { return truncate_file(fd, length); }

#define MODE(flags)                                  \
  mode_t mode_ = 0;                                  \
  if ((flags) & (O_CREAT | __O_TMPFILE)) {           \
    va_list rest;                                    \
    va_start(rest, flags);                           \
    mode_ = va_arg(rest, mode_t);                    \
    va_end(rest);                                    \
  }                                                  \
  pthread_once(&once, start);

int open(const char *name, int flags, ...) { MODE(flags) return opened(real_open(name, flags, mode_), flags); }
int open64(const char *name, int flags, ...) { MODE(flags) return opened(real_open(name, flags, mode_), flags); }
int openat(int at, const char *name, int flags, ...) {
  MODE(flags) return opened(real_openat(at, name, flags, mode_), flags);
}
int openat64(int at, const char *name, int flags, ...) {
  MODE(flags) return opened(real_openat(at, name, flags, mode_), flags);
}
int close(int fd) {
  pthread_once(&once, start);
  if (fd >= 0 && fd < MOST_FILES) files[fd].inode = 0;
  return real_close(fd);
}
