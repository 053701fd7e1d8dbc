//go:build !linux

package baseline

import "os"

// syncData puts a file's content on disk.
func syncData(file *os.File) error { return file.Sync() }
