//go:build !race

package channel

const randomSeeds = 300
