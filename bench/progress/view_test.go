package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// events are what go test -json says of a package that passes, one that fails, one
// without tests and one that does not compile.
const events = `{"Action":"start","Package":"m/good"}
{"Action":"run","Package":"m/good","Test":"TestA"}
{"Action":"output","Package":"m/good","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"m/good","Test":"TestA","Output":"    a_test.go:3: nobody asks\n"}
{"Action":"output","Package":"m/good","Test":"TestA","Output":"--- PASS: TestA (7.00s)\n"}
{"Action":"pass","Package":"m/good","Test":"TestA","Elapsed":7}
{"Action":"output","Package":"m/good","Test":"TestB","Output":"=== RUN   TestB\n"}
{"Action":"output","Package":"m/good","Test":"TestB","Output":"    a_test.go:9: no cgroup can be made\n"}
{"Action":"output","Package":"m/good","Test":"TestB","Output":"--- SKIP: TestB (0.00s)\n"}
{"Action":"skip","Package":"m/good","Test":"TestB","Elapsed":0}
{"Action":"output","Package":"m/good","Output":"PASS\n"}
{"Action":"output","Package":"m/good","Output":"ok  \tm/good\t7.010s\n"}
{"Action":"pass","Package":"m/good","Elapsed":7.01}
{"Action":"output","Package":"m/bad","Test":"TestC","Output":"=== RUN   TestC\n"}
{"Action":"output","Package":"m/bad","Test":"TestC","Output":"    c_test.go:4: wrong\n"}
{"Action":"output","Package":"m/bad","Test":"TestC","Output":"--- FAIL: TestC (0.00s)\n"}
{"Action":"fail","Package":"m/bad","Test":"TestC","Elapsed":0}
{"Action":"output","Package":"m/bad","Output":"FAIL\n"}
{"Action":"output","Package":"m/bad","Output":"FAIL\tm/bad\t0.010s\n"}
{"Action":"fail","Package":"m/bad","Elapsed":0.01}
{"Action":"output","Package":"m/none","Output":"?   \tm/none\t[no test files]\n"}
{"Action":"skip","Package":"m/none","Elapsed":0}
{"ImportPath":"m/broken","Action":"build-output","Output":"broken/x.go:3:1: syntax error\n"}
{"ImportPath":"m/broken","Action":"build-fail"}
{"Action":"output","Package":"m/broken","Output":"FAIL\tm/broken [build failed]\n"}
{"Action":"fail","Package":"m/broken","Elapsed":0,"FailedBuild":"m/broken"}
`

func TestView(t *testing.T) {
	var out, aside bytes.Buffer
	v := &view{out: &out, aside: &aside, packages: 4, began: time.Now()}
	if err := v.read(strings.NewReader(events)); err != nil {
		t.Fatal(err)
	}
	v.sum()
	const want = "ok  \tm/good\t7.010s\n" +
		"    c_test.go:4: wrong\n--- FAIL: TestC (0.00s)\nFAIL\nFAIL\tm/bad\t0.010s\n" +
		"?   \tm/none\t[no test files]\n" +
		"broken/x.go:3:1: syntax error\nFAIL\tm/broken [build failed]\n"
	if out.String() != want {
		t.Errorf("printed:\n%s\nwanted:\n%s", out.String(), want)
	}
	for _, part := range []string{"1 of 4 after 0s\n", "4 of 4 after 0s, 2 failed\n",
		"m/good.TestB: a_test.go:9: no cgroup can be made\n", "slowest tests: m/good.TestA 7s\n",
		"4 packages in 0s, 2 failed, 1 tests skipped\n", "  failed: m/bad.TestC\n"} {
		if !strings.Contains(aside.String(), part) {
			t.Errorf("no %q beside it:\n%s", part, aside.String())
		}
	}
}

// With -v all is printed, once.
func TestViewOfEverything(t *testing.T) {
	var out, aside bytes.Buffer
	v := &view{out: &out, aside: &aside, isVerbose: true, began: time.Now()}
	if err := v.read(strings.NewReader(events)); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"nobody asks\n", "--- PASS: TestA", "ok  \tm/good\t7.010s\n", "FAIL\tm/bad\t0.010s\n"} {
		if strings.Count(out.String(), part) != 1 {
			t.Errorf("%q is there %d times:\n%s", part, strings.Count(out.String(), part), out.String())
		}
	}
}
