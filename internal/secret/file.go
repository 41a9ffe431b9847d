// Package secret reads what nobody else is to see from files, and compares passwords.
package secret

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

const (
	// passwordBytesMax is the longest password in a file: more than anybody takes, and
	// what fits a header field and a command of RESP.
	passwordBytesMax = 1024
	// passwordFileBytesMax bounds the file: what follows its first line is not looked at.
	passwordFileBytesMax = 64 << 10
	// pathPartBytesMax is the longest part of a path that is shown where there is no
	// file: a secret of 32 bytes without a slash among them is longer.
	pathPartBytesMax = 24
)

// Read reads a file that an operator named. No error shows what the file holds. A name of
// which there is no file stays out of it, too, unless it can only be a path: some give the
// secret itself for it, which hint speaks of.
func Read(name string, bytesMax int64, hint string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) && !isPath(name) {
			err = path.Err
		}
		return nil, fmt.Errorf("%w; %s", err, hint)
	}
	if !info.Mode().IsRegular() || info.Size() > bytesMax {
		return nil, fmt.Errorf("%s has to be a regular file of at most %d bytes", name, bytesMax)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	if what := notASCII(data); what != "" {
		return nil, fmt.Errorf("%s: the file is %s; save it as plain UTF-8", name, what)
	}
	return data, nil
}

// ReadPassword reads the first line of a file, without its end. flag names the file; its
// name begins the error, which is a sentence for the operator.
func ReadPassword(flag, name string) (string, error) {
	data, err := Read(name, passwordFileBytesMax, "it takes the name of a file that holds the password, and not the password")
	if err != nil {
		return "", fmt.Errorf("%s: cannot read the password: %w", flag, err)
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	switch {
	case len(line) == 0:
		return "", fmt.Errorf("%s: %s is empty in its first line, where the password has to be", flag, name)
	case len(line) > passwordBytesMax:
		return "", fmt.Errorf("%s: the first line of %s has %d bytes, and a password has %d at most", flag, name, len(line), passwordBytesMax)
	case bytes.ContainsFunc(line, func(c rune) bool { return c < ' ' || c == 0x7f }):
		return "", fmt.Errorf("%s: the first line of %s has control characters, and no password has", flag, name)
	}
	return string(line), nil
}

// isPath reports whether a name begins like a path, and has no part that is as long as
// those of a secret in base64, where slashes stand, too.
func isPath(name string) bool {
	if !strings.HasPrefix(name, "/") && !strings.HasPrefix(name, "./") && !strings.HasPrefix(name, "../") {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if len(part) > pathPartBytesMax {
			return false
		}
	}
	return true
}

// notASCII says as what an editor has saved a file if it begins with a byte order mark
// or has a NUL in each second byte, which would make another secret of it.
func notASCII(data []byte) string {
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return "UTF-8 with a byte order mark in front"
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return "UTF-16"
	}
	for first := range 2 {
		nuls := 0
		for i := first; i < len(data); i += 2 {
			if data[i] == 0 {
				nuls++
			}
		}
		if nuls > 0 && nuls >= len(data)/2 && bytes.Count(data, []byte{0}) < len(data) {
			return "UTF-16"
		}
	}
	return ""
}
