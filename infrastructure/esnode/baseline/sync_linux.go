package baseline

import (
	"os"
	"syscall"
)

// syncData puts a file's content on disk, with the system call that SQLite uses on Linux.
func syncData(file *os.File) error {
	for {
		if err := syscall.Fdatasync(int(file.Fd())); err != syscall.EINTR { //nolint:errorlint // system calls return it bare
			return err
		}
	}
}
