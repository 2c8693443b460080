using ByteStreams;

namespace StreamsHost.Handlers;

/// <summary>Reads everything and sends nothing (RFC 863).</summary>
internal sealed class DiscardHandler : ByteStreamHandler
{
    public override async Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        while (!(await reader.BorrowAsync(stopping)).IsEmpty)
        {
        }
    }
}
