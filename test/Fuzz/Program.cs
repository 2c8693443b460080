using ByteStreams.Fuzz;
using SharpFuzz;

// The program under afl-fuzz, see run: the target's name, and on standard input what the fuzzer has thought of.
switch (args)
{
    case ["proxy"]:
        Fuzzer.OutOfProcess.Run(stream =>
        {
            using var bytes = new MemoryStream();
            stream.CopyTo(bytes);
            ProxyHeaderTarget.Run(bytes.GetBuffer().AsSpan(0, (int)bytes.Length));
        });
        return 0;
    default:
        Console.Error.WriteLine("Name a target: proxy.");
        return 1;
}
