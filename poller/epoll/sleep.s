// The linker takes bodyless functions from packages that have an assembly file (sleep.go).
