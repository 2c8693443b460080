using Microsoft.AspNetCore.Http;

namespace ByteStreams.Web;

/// <summary>The bodies of an HTTP request and its response, or an upgraded HTTP/1.1 connection.</summary>
/// <param name="input">The received bytes.</param>
/// <param name="output">The sent bytes.</param>
/// <param name="shutdown">Ends the sent body: END_STREAM on HTTP/2. Null for an upgraded connection, which has no half-close on Kestrel.</param>
/// <param name="context">The request.</param>
internal sealed class HttpBodyChannel(Stream input, Stream output, Func<Task>? shutdown, HttpContext context) : WebChannel(context)
{
    public override bool CanShutdownSend => shutdown is not null;

    // Kestrel aborts an upgraded request at the peer's FIN, which follows the peer's last bytes.
    protected override bool EndsInputAtAbort => shutdown is not null;

    protected override ValueTask<int> ReceiveAsync(Memory<byte> destination, CancellationToken closed) => input.ReadAsync(destination, closed);

    protected override async ValueTask SendAsync(ReadOnlyMemory<byte> source, CancellationToken closed)
    {
        await output.WriteAsync(source, closed).ConfigureAwait(false);
        await output.FlushAsync(closed).ConfigureAwait(false);
    }

    protected override ValueTask ShutdownSendAsync(CancellationToken closed) => shutdown is null ? default : new(shutdown());
}
