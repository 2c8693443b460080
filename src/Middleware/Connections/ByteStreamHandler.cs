namespace ByteStreams;

/// <summary>
/// A service as a class: made in a dependency-injection scope of its own for each connection, and disposed with it.
/// </summary>
/// <remarks>
/// The handlers of different connections run in parallel, on several threads: what they share, such as singleton services, has to be
/// thread-safe. See <see cref="ByteStreamDelegate"/>.
/// </remarks>
/// <example>
/// <code>
/// sealed class Echo : ByteStreamHandler
/// {
///     public override async Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
///     {
///         await foreach (byte[] line in reader.WithCancellation(stopping))
///         {
///             writer.Write(line);
///             await writer.DrainAsync(stopping);
///         }
///     }
/// }
/// </code>
/// </example>
public abstract class ByteStreamHandler
{
    /// <summary>Serves one client; see <see cref="ByteStreamDelegate"/> for what returning and throwing mean.</summary>
    /// <param name="reader">Reads what the client sends.</param>
    /// <param name="writer">Writes to the client.</param>
    /// <param name="stopping">Fires when the server closes its connections.</param>
    /// <returns>Done when the client is served.</returns>
    public abstract Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping);
}
