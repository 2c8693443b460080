using ByteStreams;
using ByteStreams.ByteLogging;
using ByteStreams.Connections;
using Microsoft.AspNetCore.Connections;

namespace Microsoft.AspNetCore.Hosting;

/// <summary>Logs the bytes of connections, on any connection builder.</summary>
public static class ByteLoggingConnectionBuilderExtensions
{
    /// <summary>
    /// Logs the bytes of each read and write, in hexadecimal and as text, at Debug in the category <c>ByteStreams.Bytes</c>. For diagnosis: it
    /// is slow, and shows what peers sent. After <c>UseTls</c> it shows plain bytes, before it encrypted ones.
    /// </summary>
    /// <typeparam name="TBuilder">Kestrel's <c>ListenOptions</c>, <see cref="ByteStreamServerOptions"/>, or any other.</typeparam>
    /// <param name="builder">The builder.</param>
    /// <param name="mostBytes">How many bytes of one read or write are shown: 256 by default, 1 to 65,536.</param>
    /// <returns>The same builder.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="mostBytes"/> is out of its range.</exception>
    public static TBuilder UseByteLogging<TBuilder>(this TBuilder builder, int mostBytes = 256)
        where TBuilder : IConnectionBuilder
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentOutOfRangeException.ThrowIfLessThan(mostBytes, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(mostBytes, 65536);
        builder.Use(next => new ByteLoggingMiddleware(next, mostBytes, builder.Logger("ByteStreams.Bytes")).OnConnectionAsync);
        return builder;
    }
}
