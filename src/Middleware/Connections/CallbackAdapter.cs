namespace ByteStreams.Connections;

/// <summary>Makes a <see cref="ByteStreamDelegate"/> of a callback without a token, as asyncio's <c>client_connected_cb</c> is.</summary>
internal static class CallbackAdapter
{
    /// <summary>The adapted callback: the reads that wait are cancelled when the server stops.</summary>
    public static ByteStreamDelegate Adapt(Func<ByteStreamReader, ByteStreamWriter, Task> clientConnected)
    {
        ArgumentNullException.ThrowIfNull(clientConnected);
        return (reader, writer, stopping) =>
        {
            reader.CancelWaitsBy(stopping);
            return clientConnected(reader, writer);
        };
    }
}
