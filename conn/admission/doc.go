// Package admission is admission control: whether a request may be done, by its head
// (judge.go) and by whoever asks (addresses.go). It knows no session, and says
// a reason of conn/reasons. A Judge and its Clients are one loop's own.
//
//   - What a Judge found of a request is valid until the next one.
//   - An entry of Clients is not 0 <=> its connection is counted in Access.Addresses, once:
//     whoever closes a descriptor calls Release.
package admission
