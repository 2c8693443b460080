// An echo server on Go's net package: a goroutine for each connection, buffered reader and writer, and a flush when
// all received data is processed.
package main

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

func main() {
	line := flag.Int("line", 0, "port for lines")
	frame := flag.Int("frame", 0, "port for frames")
	unix := flag.String("unix", "", "Unix socket for lines")
	unixFrame := flag.String("unix-frame", "", "Unix socket for frames")
	secure := flag.Int("tls", 0, "port for frames within TLS")
	certificate := flag.String("certificate", "", "PEM file")
	key := flag.String("key", "", "PEM file")
	threads := flag.Int("threads", 1, "threads that run goroutines")
	flag.Parse()
	runtime.GOMAXPROCS(*threads)

	for port, echo := range map[int]func(*bufio.Reader, *bufio.Writer) error{*line: echoLine, *frame: echoFrame} {
		if port != 0 {
			serve("tcp", fmt.Sprintf("127.0.0.1:%d", port), echo)
		}
	}
	for path, echo := range map[string]func(*bufio.Reader, *bufio.Writer) error{*unix: echoLine, *unixFrame: echoFrame} {
		if path != "" {
			serve("unix", path, echo)
		}
	}
	if *secure != 0 {
		pair, err := tls.LoadX509KeyPair(*certificate, *key)
		if err != nil {
			log.Fatal(err)
		}
		listener, err := tls.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", *secure), &tls.Config{Certificates: []tls.Certificate{pair}})
		if err != nil {
			log.Fatal(err)
		}
		accept(listener, echoFrame)
	}
	fmt.Println("ready")

	ends := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGTERM)
	<-ends
}

func serve(network, address string, echo func(*bufio.Reader, *bufio.Writer) error) {
	listener, err := net.Listen(network, address)
	if err != nil {
		log.Fatal(err)
	}
	accept(listener, echo)
}

func accept(listener net.Listener, echo func(*bufio.Reader, *bufio.Writer) error) {
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				log.Fatal(err)
			}
			go handle(connection, echo)
		}
	}()
}

func handle(connection net.Conn, echo func(*bufio.Reader, *bufio.Writer) error) {
	defer connection.Close()
	reader, writer := bufio.NewReader(connection), bufio.NewWriter(connection)
	for {
		if err := echo(reader, writer); err != nil {
			if err != io.EOF {
				log.Print(err)
			}
			return
		}
		if reader.Buffered() == 0 {
			if err := writer.Flush(); err != nil {
				log.Print(err)
				return
			}
		}
	}
}

func echoLine(reader *bufio.Reader, writer *bufio.Writer) error {
	line, err := reader.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		start := append([]byte(nil), line...)
		line, err = reader.ReadBytes('\n')
		line = append(start, line...)
	}
	if err != nil {
		return err
	}
	_, err = writer.Write(line)
	return err
}

func echoFrame(reader *bufio.Reader, writer *bufio.Writer) error {
	header, err := reader.Peek(4)
	if err != nil {
		return err
	}
	size := 4 + int(binary.BigEndian.Uint32(header))
	if size <= reader.Size() {
		frame, err := reader.Peek(size)
		if err != nil {
			return err
		}
		if _, err = writer.Write(frame); err != nil {
			return err
		}
		_, err = reader.Discard(size)
		return err
	}

	frame := make([]byte, size)
	if _, err := io.ReadFull(reader, frame); err != nil {
		return err
	}
	_, err = writer.Write(frame)
	return err
}
