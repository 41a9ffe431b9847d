//go:build race

package channel

// randomSeeds is how many worlds TestRegistryRandom plays; the race detector
// makes each 15 times slower.
const randomSeeds = 60
