/*
 * Preloaded into a server, so that its disk misbehaves on command. What is meant to be durable is fsync, fdatasync, and writes to files
 * opened with O_DSYNC or O_SYNC.
 *
 * Once the file named by FAIL_SYNC_WHEN exists, nothing can be made durable any more: these fail with EIO, as they do on a dying disk.
 * While the file named by STALL_SYNC_WHEN exists, they do not return; if it begins with a number, each takes that many milliseconds more.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>
#include <stdio.h>

static int failing(void) {
  const char *when = getenv("FAIL_SYNC_WHEN");
  int kept = errno;
  int exists = when != NULL && access(when, F_OK) == 0;
  errno = kept;
  return exists;
}

static void stall(void) {
  const char *when = getenv("STALL_SYNC_WHEN");
  int kept = errno;
  while (when != NULL && access(when, F_OK) == 0) {
    int milliseconds = 0;
    FILE *file = fopen(when, "r");
    if (file != NULL) {
      if (fscanf(file, "%d", &milliseconds) != 1) milliseconds = 0;
      fclose(file);
    }
    usleep(milliseconds > 0 ? (useconds_t)milliseconds * 1000 : 10 * 1000);
    if (milliseconds > 0) break;
  }
  errno = kept;
}

static int fails_write(int fd) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || (flags & O_DSYNC) == 0) return 0;
  stall();
  return failing();
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define REFUSE \
  do {         \
    errno = EIO; \
    return -1; \
  } while (0)

int fsync(int fd) {
  stall();
  if (failing()) REFUSE;
  return NEXT(fsync)(fd);
}

int fdatasync(int fd) {
  stall();
  if (failing()) REFUSE;
  return NEXT(fdatasync)(fd);
}

ssize_t write(int fd, const void *bytes, size_t count) {
  if (fails_write(fd)) REFUSE;
  return NEXT(write)(fd, bytes, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
  if (fails_write(fd)) REFUSE;
  return NEXT(pwrite)(fd, bytes, count, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
  if (fails_write(fd)) REFUSE;
  return NEXT(pwrite64)(fd, bytes, count, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  if (fails_write(fd)) REFUSE;
  return NEXT(writev)(fd, parts, count);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
  if (fails_write(fd)) REFUSE;
  return NEXT(pwritev)(fd, parts, count, offset);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
  if (fails_write(fd)) REFUSE;
  return NEXT(pwritev64)(fd, parts, count, offset);
}
