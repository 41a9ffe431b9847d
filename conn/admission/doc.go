/*
Package admission is admission control: whether a request may be done, by its head and by
whoever asks. It knows no session: it is handed a head or an address, and says a reason of
conn/reasons.

	judge.go      pages, upgrades, readers and publishers, and their tokens, which come last
	              since they cost the most
	channels.go   the channel that a path names
	addresses.go  the configuration, and how many connections an address has

A Judge and its Clients are one loop's own. What a Judge found of a request is valid until
the next one. An entry of Clients is not 0 <=> its connection is counted in
Access.Addresses, once: whoever closes a descriptor calls Release.
*/
package admission
