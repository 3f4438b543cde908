/* Between a program and the system: lets the n-th change below a directory fail, and records the changes.
 *
 * FAULT_DIR    the directory, without links
 * FAULT_AT     which change fails, from 1 on; none without it
 * FAULT_ERRNO  with which error
 * FAULT_ONLY   if set, only syncs are counted
 * FAULT_ALL    if set, every later change fails too
 * FAULT_FIRED  a file that is made when one has failed
 * FAULT_TRACE  a file to which each change is appended: op, lengths of path and data, offset, path, data
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *dir, *fired, *trace;
static size_t dir_length;
static long fail_at, fail_errno;
static int fail_all, only_syncs, trace_fd = -1;
static atomic_long count;

__attribute__((constructor)) static void start(void) {
  const char *text;
  dir = getenv("FAULT_DIR");
  dir_length = dir ? strlen(dir) : 0;
  text = getenv("FAULT_AT");
  fail_at = text ? atol(text) : 0;
  text = getenv("FAULT_ERRNO");
  fail_errno = text ? atol(text) : EIO;
  fail_all = getenv("FAULT_ALL") != NULL;
  only_syncs = getenv("FAULT_ONLY") != NULL;
  fired = getenv("FAULT_FIRED");
  trace = getenv("FAULT_TRACE");
  if (trace)
    trace_fd = (int)syscall(SYS_openat, AT_FDCWD, trace, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

/* The path below the directory, or NULL. */
static const char *below(const char *path) {
  if (!dir || strncmp(path, dir, dir_length) != 0 || path[dir_length] != '/')
    return NULL;
  path += dir_length + 1;
  size_t length = strlen(path);
  if (length > 4 && strcmp(path + length - 4, "-shm") == 0)
    return NULL;
  if (length > 10 && strcmp(path + length - 10, " (deleted)") == 0)
    return NULL;
  return path;
}

static const char *of_fd(int fd, char *buffer) {
  char link[32];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  long length = syscall(SYS_readlinkat, AT_FDCWD, link, buffer, PATH_MAX - 1);
  if (length <= 0)
    return NULL;
  buffer[length] = 0;
  return below(buffer);
}

/* Whether this change is to fail; errno says how. */
static int fails_as(const char *path, int sync) {
  if (!path || fail_at <= 0 || (only_syncs && !sync))
    return 0;
  long n = atomic_fetch_add(&count, 1) + 1;
  if (n != fail_at && !(fail_all && n > fail_at))
    return 0;
  if (fired) {
    long fd = syscall(SYS_openat, AT_FDCWD, fired, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
      syscall(SYS_close, (int)fd);
  }
  errno = (int)fail_errno;
  return 1;
}

static int fails(const char *path) { return fails_as(path, 0); }

static void note(char op, const char *path, uint64_t offset, const void *data, size_t length) {
  if (!path || trace_fd < 0)
    return;
  struct __attribute__((packed)) {
    char op;
    uint32_t path, data;
    uint64_t offset;
  } head = {op, (uint32_t)strlen(path), (uint32_t)length, offset};
  struct iovec parts[3] = {{&head, sizeof head}, {(void *)path, head.path}, {(void *)data, length}};
  int kept = errno;
  syscall(SYS_writev, trace_fd, parts, 3);
  errno = kept;
}

static uint64_t place(int fd) {
  struct stat about;
  long flags = syscall(SYS_fcntl, fd, F_GETFL);
  if ((flags & O_APPEND) && fstat(fd, &about) == 0)
    return (uint64_t)about.st_size;
  return (uint64_t)syscall(SYS_lseek, fd, 0L, SEEK_CUR);
}

ssize_t write(int fd, const void *data, size_t length) {
  char buffer[PATH_MAX];
  const char *path = of_fd(fd, buffer);
  if (fails(path))
    return -1;
  uint64_t offset = path ? place(fd) : 0;
  ssize_t done = syscall(SYS_write, fd, data, length);
  if (done > 0)
    note('W', path, offset, data, (size_t)done);
  return done;
}

ssize_t writev(int fd, const struct iovec *parts, int many) {
  char buffer[PATH_MAX];
  if (!of_fd(fd, buffer))
    return syscall(SYS_writev, fd, parts, many);
  ssize_t all = 0;
  for (int i = 0; i < many; i++) {
    ssize_t done = write(fd, parts[i].iov_base, parts[i].iov_len);
    if (done < 0)
      return all ? all : -1;
    all += done;
    if ((size_t)done < parts[i].iov_len)
      break;
  }
  return all;
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
  char buffer[PATH_MAX];
  const char *path = of_fd(fd, buffer);
  if (fails(path))
    return -1;
  ssize_t done = syscall(SYS_pwrite64, fd, data, length, offset);
  if (done > 0)
    note('W', path, (uint64_t)offset, data, (size_t)done);
  return done;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return pwrite64(fd, data, length, offset); }

static int sync_with(long call, int fd) {
  char buffer[PATH_MAX];
  const char *path = of_fd(fd, buffer);
  if (fails_as(path, 1))
    return -1;
  int done = (int)syscall(call, fd);
  if (done == 0)
    note('S', path, 0, "", 0);
  return done;
}

int fsync(int fd) { return sync_with(SYS_fsync, fd); }
int fdatasync(int fd) { return sync_with(SYS_fdatasync, fd); }

int ftruncate64(int fd, off64_t length) {
  char buffer[PATH_MAX];
  const char *path = of_fd(fd, buffer);
  if (fails(path))
    return -1;
  int done = (int)syscall(SYS_ftruncate, fd, length);
  if (done == 0)
    note('T', path, (uint64_t)length, "", 0);
  return done;
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

int rename(const char *from, const char *to) {
  const char *path = below(from), *target = below(to);
  if (fails(path))
    return -1;
  int done = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
  if (done == 0 && path && target)
    note('R', path, 0, target, strlen(target));
  return done;
}

int unlink(const char *name) {
  const char *path = below(name);
  if (fails(path))
    return -1;
  int done = (int)syscall(SYS_unlinkat, AT_FDCWD, name, 0);
  if (done == 0)
    note('U', path, 0, "", 0);
  return done;
}

int mkdir(const char *name, mode_t mode) {
  const char *path = below(name);
  if (fails(path))
    return -1;
  int done = (int)syscall(SYS_mkdirat, AT_FDCWD, name, mode);
  if (done == 0)
    note('M', path, 0, "", 0);
  return done;
}

static int open_with(const char *name, int flags, mode_t mode) {
  const char *path = flags & (O_CREAT | O_TRUNC) ? below(name) : NULL;
  if (fails(path))
    return -1;
  int fd = (int)syscall(SYS_openat, AT_FDCWD, name, flags, mode);
  if (fd >= 0) {
    note('C', path, 0, "", 0);
    if (flags & O_TRUNC)
      note('T', path, 0, "", 0);
  }
  return fd;
}

int open64(const char *name, int flags, ...) {
  va_list more;
  va_start(more, flags);
  mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
  va_end(more);
  return open_with(name, flags | O_LARGEFILE, mode);
}

int open(const char *name, int flags, ...) {
  va_list more;
  va_start(more, flags);
  mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
  va_end(more);
  return open_with(name, flags, mode);
}
