/* What no hook can do without: it reads its event, takes the lock, reads a page of the database, adds one to a log, and lets the lock go. */
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

static char page[4096];

int main(int count, char **arguments) {
  if (count != 2 || chdir(arguments[1]) != 0)
    return 1;
  while (read(0, page, sizeof page) > 0)
    ;
  int lock = open("work.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  int database = open("work.db", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  int log = open("work.log", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0 || database < 0 || log < 0 || flock(lock, LOCK_EX) != 0)
    return 1;
  if (pread(database, page, sizeof page, 0) < 0 || pwrite(log, page, sizeof page, 0) != sizeof page)
    return 1;
  return flock(lock, LOCK_UN);
}
