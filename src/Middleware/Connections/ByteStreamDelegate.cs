namespace ByteStreams;

/// <summary>
/// A service: called once for each client, in parallel for different clients. Source: asyncio's <c>client_connected_cb</c>.
/// </summary>
/// <remarks>
/// asyncio runs one step of one callback at a time; here callbacks of different connections run on several threads at once. State that they
/// share needs <see cref="Interlocked"/>, a concurrent collection or a lock. <see cref="ByteStreamTransportOptions.EventLoops"/> = 1 does not
/// change that; docs/asyncio.md, "Handlers run in parallel", has a scheduler that does. One connection's callback runs one step at a time.
/// </remarks>
/// <param name="reader">Reads what the client sends.</param>
/// <param name="writer">Writes to the client.</param>
/// <param name="stopping">
/// Fires when the server closes its connections (the host stops, or the server closes its clients). Finish the request in progress and
/// return; connections that are open at the shutdown deadline are aborted. It does not fire when the client disconnects: reads and drains
/// throw then.
/// </param>
/// <returns>
/// When it returns, everything written is delivered and the connection closes cleanly. When it throws, the error is logged and the
/// connection is reset; an error that the client causes is logged at Information and without a stack, see
/// <see cref="ByteStreamConnectionHandler"/>.
/// </returns>
public delegate Task ByteStreamDelegate(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping);
