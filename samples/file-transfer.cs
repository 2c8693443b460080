#:project ../src/Middleware/ByteStreams.csproj

// File transfer with progress, server and client in one program. Both copy through one buffer: memory does not grow with the file.
//
//   dotnet run samples/file-transfer.cs serve FOLDER
//   dotnet run samples/file-transfer.cs get NAME TARGET
//
// The server is on 127.0.0.1:7086. A request is "GET name" and a newline; the answer is "OK length" or "ERROR reason", a newline, and the
// bytes of the file. The client prints its progress and checks the length.

using System.Globalization;
using ByteStreams;

return args switch
{
    ["serve", string folder] => await ServeAsync(folder),
    ["get", string name, string target] => await GetAsync(name, target),
    _ => Usage(),
};

static int Usage()
{
    Console.Error.WriteLine("usage: dotnet run samples/file-transfer.cs serve FOLDER | get NAME TARGET");
    return 2;
}

static async Task<int> ServeAsync(string folder)
{
    await using ByteStreamServer server = await ByteStream.StartServerAsync(async (reader, writer, stopping) =>
    {
        string? request = await reader.ReadTextLineAsync(cancellationToken: stopping);
        // Only a name without a folder: ../secret is none.
        if (request is null || !request.StartsWith("GET ", StringComparison.Ordinal) || request[4..] is not { Length: > 0 } name || Path.GetFileName(name) != name ||
            !File.Exists(Path.Combine(folder, name)))
        {
            writer.Write("ERROR no such file\n");
            return;
        }

        await using FileStream file = File.OpenRead(Path.Combine(folder, name));
        // A file that grows is sent with the length that was announced.
        long length = file.Length;
        writer.Write($"OK {length}\n");
        byte[] buffer = new byte[65536];
        while (length > 0)
        {
            int count = await file.ReadAsync(buffer.AsMemory(0, (int)Math.Min(buffer.Length, length)), stopping);
            if (count == 0)
            {
                throw new EndOfStreamException($"{name} has become {length} bytes shorter.");
            }

            writer.Write(buffer.AsSpan(0, count));
            await writer.DrainAsync(stopping);
            length -= count;
        }
    }, "127.0.0.1", 7086);
    Console.WriteLine($"Serving on {server.EndPoints[0]}");
    await server.ServeForeverAsync();
    return 0;
}

static async Task<int> GetAsync(string name, string target)
{
    await using ByteStreamConnection connection = await ByteStream.OpenConnectionAsync("127.0.0.1", 7086);
    var (reader, writer) = connection;
    writer.Write($"GET {name}\n");
    await writer.DrainAsync();
    string answer = await reader.ReadTextLineAsync() ?? "ERROR the server closed the connection";
    if (!answer.StartsWith("OK ", StringComparison.Ordinal) || !long.TryParse(answer[3..], NumberStyles.None, CultureInfo.InvariantCulture, out long length))
    {
        Console.Error.WriteLine($"{name}: {answer}");
        return 1;
    }

    await using FileStream file = File.Create(target);
    byte[] buffer = new byte[65536];
    long received = 0, printed = 0;
    while (received < length)
    {
        int count = await reader.ReadAsync(buffer.AsMemory(0, (int)Math.Min(buffer.Length, length - received)));
        if (count == 0)
        {
            Console.Error.WriteLine($"{name}: the connection ended after {received} of {length} bytes");
            return 1;
        }

        await file.WriteAsync(buffer.AsMemory(0, count));
        received += count;
        long percent = (long)(100.0 * received / length);
        if (percent >= printed + 10)
        {
            printed = percent - percent % 10;
            Console.WriteLine($"{printed} %");
        }
    }

    Console.WriteLine($"{name}: {received} bytes");
    return 0;
}
