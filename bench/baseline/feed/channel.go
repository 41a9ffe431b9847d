package feed

import (
	"fmt"
	"net/url"
	"strings"
)

// ChannelOf is the channel that a request target names: its path without the
// first slash, percent-decoded, as the server of this project reads it.
func ChannelOf(target string) (string, error) {
	path, _, _ := strings.Cut(target, "?")
	channel, err := url.PathUnescape(strings.TrimPrefix(path, "/"))
	if err != nil || channel == "" {
		return "", fmt.Errorf("the path %.80q names no channel", path)
	}
	return channel, nil
}
