// Package globtest holds what the tests of the matcher and of the bus share.
package globtest

// A Case says whether a pattern matches a name.
type Case struct {
	Pattern, Name string
	Match         bool
}

// Cases are what a test in redisbus asks a real Redis, too.
var Cases = []Case{
	{"", "", true}, {"", "a", false}, {"a", "", false}, {"*", "", false}, {"*", "abc", true}, {"**", "abc", true},
	{"a", "a", true}, {"a", "b", false}, {"a", "ab", false}, {"ab", "a", false},
	{"?", "a", true}, {"?", "", false}, {"?", "ab", false}, {"??", "ab", true}, {"*?", "", false}, {"*?", "abc", true},
	{"a*", "abc", true}, {"a*c", "abc", true}, {"a*c", "abcd", false}, {"*c", "abcc", true}, {"a*b*c", "axxbxxc", true},
	{"a*b*c", "axxcxxb", false}, {"*ab*ab*", "abxab", true}, {"*aab", "aaaab", true},
	{"[abc]", "b", true}, {"[abc]", "d", false}, {"[a-c]", "b", true}, {"[a-c]", "d", false}, {"[c-a]", "b", true},
	{"[^a]", "b", true}, {"[^a]", "a", false}, {"[^a-c]", "d", true}, {"[^a-c]", "b", false},
	{"[a-]", "-", false}, {"[a-]", "_", true}, {"[a-]", "x", false}, {"[-a]", "-", true}, {"[a-", "a", true}, {"[a-", "-", true}, {"[a-", "b", false},
	{"[]", "a", false}, {"[]", "]", false}, {"[^]", "a", true}, {"[^]", "]", true}, {"[", "a", false}, {"[", "[", false},
	{"[^", "a", true}, {"[abc", "c", true}, {"[abc", "d", false}, {"[a]b", "ab", true}, {"[a]b", "aa", false},
	{"[\\]]", "]", true}, {"[\\]]", "\\", false}, {"[\\-a]", "-", true}, {"[a\\-c]", "b", false}, {"[\\", "\\", true},
	{"[*]", "*", true}, {"[*]", "a", false}, {"[?]", "?", true}, {"x[0-9]*", "x7y", true},
	{"\\*", "*", true}, {"\\*", "a", false}, {"\\?", "?", true}, {"\\[", "[", true}, {"\\a", "a", true},
	{"\\", "\\", true}, {"a\\", "a\\", true}, {"\\\\", "\\", true}, {"*\\", "ab\\", true},
	{"h?llo", "hello", true}, {"h[ae]llo", "hallo", true}, {"h[^e]llo", "hello", false}, {"news.*", "news", false},
	{"*[a", "xa", true}, {"*[", "x", false}, {"ä*", "äb", true}, {"?", "ä", false}, {"\x00*", "\x00\xff", true},
}
