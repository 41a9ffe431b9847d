package secret

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPasswordIsWhole(t *testing.T) {
	var p Password
	if p.IsSet() || p.Is(nil) || p.Is([]byte("s3cret")) {
		t.Error("no password is equal to something")
	}
	p.Set("s3cret")
	if !p.IsSet() || !p.Is([]byte("s3cret")) {
		t.Error("the password is refused")
	}
	for i := range 5000 {
		for _, word := range []string{"s3cre", "s3cret" + fmt.Sprint(i), fmt.Sprint(i), ""} {
			if p.Is([]byte(word)) {
				t.Fatalf("%q is taken", word)
			}
		}
	}
	if p.Set("other"); p.Is([]byte("s3cret")) || !p.Is([]byte("other")) {
		t.Error("the former password is taken still")
	}
	if p.Set(""); p.IsSet() || p.Is(nil) {
		t.Error("an empty password is one")
	}
}

// The first line of a file is the password, to its last blank. Whatever is wrong with a
// file is one sentence, which does not show what it holds.
func TestReadPassword(t *testing.T) {
	directory := t.TempDir()
	longest := strings.Repeat("x", passwordBytesMax)
	for i, c := range []struct{ holds, want, says string }{
		{holds: "s3cret", want: "s3cret"},
		{holds: "s3cret\n", want: "s3cret"},
		{holds: "s3cret\r\n", want: "s3cret"},
		{holds: " s3 cret \n", want: " s3 cret "},
		{holds: "s3cret\n# of the staging bus\n", want: "s3cret"},
		{holds: "pässwörd\n", want: "pässwörd"},
		{holds: longest + "\n", want: longest},
		{holds: longest + "s3cret", says: "has 1030 bytes"},
		{holds: "", says: "is empty"},
		{holds: "\n", says: "is empty"},
		{holds: "\r\n", says: "is empty"},
		{holds: "\ns3cret\n", says: "is empty"},
		{holds: "s3cret\x00\n", says: "control characters"},
		{holds: "\xef\xbb\xbfs3cret\n", says: "byte order mark"},
		{holds: "s\x003\x00c\x00r\x00e\x00t\x00", says: "UTF-16"},
		{holds: "s3cret\n" + strings.Repeat("x", passwordFileBytesMax), says: "at most 65536 bytes"},
	} {
		name := filepath.Join(directory, fmt.Sprint(i))
		if err := os.WriteFile(name, []byte(c.holds), 0o600); err != nil {
			t.Fatal(err)
		}
		checkPassword(t, name, c.want, c.says)
	}
	link := filepath.Join(directory, "link") // as Kubernetes mounts secrets
	if err := os.Symlink("0", link); err != nil {
		t.Fatal(err)
	}
	checkPassword(t, link, "s3cret", "")
	checkPassword(t, directory, "", "regular file")
	checkPassword(t, "/no/such/file", "", "/no/such/file")
	// Somebody who gives the password for the name of its file.
	for _, name := range []string{"s3cret+s3cret+s3cret+s3cret", "/s3cret+s3cret+s3cret+s3cret", ""} {
		checkPassword(t, name, "", "no such file or directory; it takes the name of a file")
	}
}

// checkPassword reads a file. says is of the error that is expected; empty: none.
func checkPassword(t *testing.T, name, want, says string) {
	t.Helper()
	got, err := ReadPassword("--bus-password-file", name)
	switch {
	case says == "":
		if err != nil || got != want {
			t.Errorf("%.40q: %.40q, %v", name, got, err)
		}
	case err == nil || got != "" || !strings.Contains(err.Error(), says) || !strings.HasPrefix(err.Error(), "--bus-password-file: "):
		t.Errorf("%.40q: %.40q, and the error does not say %q: %v", name, got, says, err)
	case strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "\n"):
		t.Errorf("%.40q: %v", name, err)
	}
}
