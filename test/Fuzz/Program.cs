using ByteStreams.Fuzz;
using SharpFuzz;

// The program under afl-fuzz, see run: the target's name, and on standard input what the fuzzer has thought of.
// With files behind the name, they are run instead, one after the other: what they break is shown as it is.
if (args is not [string name, .. string[] files] || !FuzzTarget.All.TryGetValue(name, out FuzzTarget? target))
{
    Console.Error.WriteLine($"Name a target: {string.Join(", ", FuzzTarget.All.Keys.Order())}. Files behind it are run without the fuzzer.");
    return 1;
}

foreach (string file in files)
{
    Console.WriteLine(file);
    target.Measure(File.ReadAllBytes(file), isAlone: true);
}

if (files.Length == 0)
{
    Fuzzer.OutOfProcess.Run(stream =>
    {
        using var bytes = new MemoryStream();
        stream.CopyTo(bytes);
        target.Measure(bytes.GetBuffer().AsSpan(0, (int)bytes.Length), isAlone: true);
    });
}

return 0;
