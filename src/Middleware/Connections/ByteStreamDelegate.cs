namespace ByteStreams;

/// <summary>
/// A service: called once for each client, in parallel for different clients. Source: asyncio's <c>client_connected_cb</c>.
/// </summary>
/// <remarks>
/// asyncio runs one step of one callback at a time; here callbacks of different connections run on several threads at once. State that they
/// share needs <see cref="Interlocked"/>, a concurrent collection or a lock. <see cref="ByteStreamTransportOptions.EventLoops"/> = 1 does not
/// change that; docs/asyncio.md, "Handlers run in parallel", has a scheduler that does. One connection's callback runs one step at a time.
/// </remarks>
/// <param name="reader">What the client sends.</param>
/// <param name="writer">What is sent to the client.</param>
/// <param name="stopping">
/// Fires when the server wants its connections to end (the host stops, or the server closes its clients). Finish the request in
/// progress and return; whoever has not returned at the shutdown deadline is aborted. It does not fire when the client goes:
/// reads and drains tell that.
/// </param>
/// <returns>
/// When it returns, everything written is delivered and the connection ends cleanly. When it throws, the error is logged and the
/// client gets a reset; what the client has caused is logged at Information and without a stack, see
/// <see cref="ByteStreamConnectionHandler"/>.
/// </returns>
public delegate Task ByteStreamDelegate(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping);
