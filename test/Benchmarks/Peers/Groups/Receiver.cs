using ByteStreams;

namespace Benchmarks.Groups;

/// <summary>Registers its connection according to <see cref="Registration"/>, sends the greeting, and waits for EOF.</summary>
internal sealed class Receiver(ByteStreamConnections connections, Registration registration) : ByteStreamHandler
{
    public const string Group = "all";

    public static ReadOnlySpan<byte> Greeting => "joined\n"u8;

    public override async Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        if (registration.IsRegistered)
        {
            // Not disposed, because the registration is removed with the connection.
            ByteStreamMember member = connections.Register(writer, registration.NextUser());
            if (registration.Joins)
            {
                await member.JoinAsync(Group, stopping);
            }
        }

        writer.Write(Greeting);
        await writer.DrainAsync(stopping);
        await reader.ReadAsync(1, stopping);
    }
}
