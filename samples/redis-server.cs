#:project ../src/Middleware/ByteStreams.csproj

// A server of the Redis protocol (RESP 2) with PING, GET, SET, DEL and INCR. Pipelined commands are answered with one write.
//
//   dotnet run samples/redis-server.cs
//
// Serves 127.0.0.1:7084. Try it with: redis-cli -p 7084 set greeting hello
//                          and with: redis-benchmark -p 7084 -t ping,set,get,incr -q -P 16

using System.Buffers;
using System.Buffers.Text;
using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using ByteStreams;

// Commands of several connections run in parallel.
var values = new ConcurrentDictionary<string, byte[]>();

await using ByteStreamServer server = await ByteStream.StartServerAsync(async (reader, writer) =>
{
    while (await ReadCommandAsync(reader) is { } command)
    {
        try
        {
            Execute(command, writer);
        }
        catch (FormatException exception)
        {
            writer.Write($"-ERR {exception.Message}\r\n");
        }

        if (!reader.HasBuffered)
        {
            await writer.DrainAsync();
        }
    }
}, "127.0.0.1", 7084);
Console.WriteLine($"Serving on {server.EndPoints[0]}");
await server.ServeForeverAsync();

void Execute(byte[][] command, ByteStreamWriter writer)
{
    string Key() => Encoding.UTF8.GetString(command[1]);
    switch (Encoding.ASCII.GetString(command[0]).ToUpperInvariant(), command.Length)
    {
        case ("PING", 1):
            writer.Write("+PONG\r\n"u8);
            break;
        case ("GET", 2) when values.TryGetValue(Key(), out byte[]? value):
            writer.Write($"${value.Length}\r\n");
            writer.Write(value);
            writer.Write("\r\n"u8);
            break;
        case ("GET", 2):
            writer.Write("$-1\r\n"u8);
            break;
        case ("SET", 3):
            values[Key()] = command[2];
            writer.Write("+OK\r\n"u8);
            break;
        case ("DEL", > 1):
            writer.Write($":{command.Skip(1).Count(key => values.TryRemove(Encoding.UTF8.GetString(key), out _))}\r\n");
            break;
        case ("INCR", 2):
            byte[] number = values.AddOrUpdate(Key(), "1"u8.ToArray(), static (_, old) => Increment(old));
            writer.Write($":{Encoding.ASCII.GetString(number)}\r\n");
            break;
        default:
            throw new FormatException($"unknown command or wrong number of arguments: {Encoding.ASCII.GetString(command[0]).ReplaceLineEndings(" ")}");
    }
}

static byte[] Increment(byte[] old) => Utf8Parser.TryParse(old, out long value, out int length) && length == old.Length && value < long.MaxValue
    ? Encoding.ASCII.GetBytes((value + 1).ToString(CultureInfo.InvariantCulture))
    : throw new FormatException("value is not an integer or out of range");

static async ValueTask<byte[][]?> ReadCommandAsync(ByteStreamReader reader)
{
    try
    {
        return await reader.ReadMessageAsync<byte[][]>(TryParse);
    }
    catch (IncompleteReadException exception) when (exception.Partial.Length == 0)
    {
        // EOF between two commands.
        return null;
    }
}

// "*2\r\n$3\r\nGET\r\n$1\r\na\r\n": an array of strings with their lengths. False if bytes are missing.
static bool TryParse(ref SequenceReader<byte> input, out byte[][] command)
{
    command = [];
    if (!TryReadLength(ref input, (byte)'*', 1, 1024, out int count))
    {
        return false;
    }

    byte[][] parts = new byte[count][];
    for (int i = 0; i < count; i++)
    {
        if (!TryReadLength(ref input, (byte)'$', 0, 32768, out int length) || !input.TryReadExact(length, out ReadOnlySequence<byte> part) ||
            !input.TryReadExact(2, out ReadOnlySequence<byte> _))
        {
            return false;
        }

        parts[i] = part.ToArray();
    }

    command = parts;
    return true;
}

static bool TryReadLength(ref SequenceReader<byte> input, byte prefix, int min, int max, out int length)
{
    length = 0;
    if (!input.TryReadTo(out ReadOnlySpan<byte> line, "\r\n"u8))
    {
        return false;
    }

    return line.Length > 1 && line[0] == prefix && Utf8Parser.TryParse(line[1..], out length, out int digits) && digits == line.Length - 1 &&
        length >= min && length <= max
        ? true
        : throw new InvalidDataException($"Expected '{(char)prefix}' and a number from {min} to {max}, but got '{Encoding.ASCII.GetString(line)}'.");
}
