package main

import (
	"testing"

	"c10m/internal/servertest"
)

func TestMain(m *testing.M) { servertest.Main(m) }
