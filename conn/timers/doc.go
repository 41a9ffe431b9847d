/*
Package timers is what one loop does by the time, and by its tick: no connection has a
timer, and nobody is kept here who is in no hurry. It is arithmetic over lists; it knows
connections by descriptor and generation, and neither loop nor session.

Who left before the time stays in a list, and is passed over when it comes to him: the
caller is asked whether he is still meant.

Each tick does a bounded part of what is due and says when the next one is to be, so that
a storm of late ones does not stop a loop. The limits are in limits.go.
*/
package timers
