// Join prints c10m.js as the server gives it to browsers: npm pack takes it from there.
package main

import (
	"log"
	"os"

	"c10m/web"
)

func main() {
	if _, err := os.Stdout.Write(web.Module()[0].Body); err != nil {
		log.Fatal(err)
	}
}
