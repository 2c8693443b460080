using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;

namespace ByteStreams.Fuzz;

/// <summary>
/// Any bytes to a TLS endpoint, followed by the end: the connection ends, for a reason of TLS, the handler never runs, and nothing is
/// thrown that nobody catches.
/// </summary>
internal static class TlsRecordTarget
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private static readonly ConcurrentDictionary<string, TaskCompletionSource<ConnectionCloseReason>> Ends = new();
    private static readonly ConcurrentQueue<string> Unobserved = new();
    private static readonly Lazy<ByteStreamServer> Server = new(() => StartAsync().GetAwaiter().GetResult());

    private static int _handled;
    private static int _runs;

    public static void Run(ReadOnlySpan<byte> bytes)
    {
        byte[] sent = bytes.ToArray();
        ConnectionCloseReason reason = Task.Run(() => SendAsync(sent)).GetAwaiter().GetResult();
        Demand.That(reason is ConnectionCloseReason.TlsHandshakeFailed, () => $"It ended with {reason}.");
        Demand.That(Volatile.Read(ref _handled) == 0, "The handler has run.");

        // Unobserved exceptions are known when their tasks are collected.
        if (++_runs % 500 == 0)
        {
            Settle();
        }
    }

    /// <summary>Demands that nothing was thrown that nobody has caught.</summary>
    public static void Settle()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        Demand.That(Unobserved.IsEmpty, () => $"Nobody has caught: {string.Join('\n', Unobserved)}");
    }

    private static async Task<ConnectionCloseReason> SendAsync(byte[] bytes)
    {
        using var late = new CancellationTokenSource(Patience);
        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync(Server.Value.EndPoints[0], cancellationToken: late.Token).ConfigureAwait(false);
        Task<ConnectionCloseReason> end = End(client.Writer.LocalEndPoint!.ToString()!).Task;
        client.Writer.Write(bytes);
        client.Writer.WriteEof();
        try
        {
            while (await client.Reader.ReadAsync(65536, late.Token).ConfigureAwait(false) is { Length: > 0 })
            {
                // An alert, or the server's side of a handshake.
            }
        }
        catch (ConnectionResetException)
        {
            // It was closed before everything was read.
        }

        ConnectionCloseReason reason = await end.WaitAsync(late.Token).ConfigureAwait(false);
        Ends.TryRemove(client.Writer.LocalEndPoint!.ToString()!, out _);
        return reason;
    }

    private static TaskCompletionSource<ConnectionCloseReason> End(string client) =>
        Ends.GetOrAdd(client, _ => new(TaskCreationOptions.RunContinuationsAsynchronously));

    private static async Task<ByteStreamServer> StartAsync()
    {
        TaskScheduler.UnobservedTaskException += (_, unobserved) =>
        {
            string text = unobserved.Exception.ToString();
            // In a process with other tests there are others' exceptions too.
            if (text.Contains("ByteStreams.Tls", StringComparison.Ordinal))
            {
                Unobserved.Enqueue(text);
            }
        };
        DirectoryInfo folder = Directory.CreateTempSubdirectory("bs-fuzz-");
        try
        {
            var options = new ByteStreamServerOptions { LingerTimeout = TimeSpan.FromSeconds(1) };
            options.Use(next => async connection =>
            {
                await next(connection).ConfigureAwait(false);
                IByteStreamTransportFeature link = connection.Features.Get<IByteStreamTransportFeature>()!;
                _ = TellAsync(link, End(connection.RemoteEndPoint!.ToString()!));
            });
            options.UseTls(tls => tls.Certificates.Add(Write(folder.FullName)));
            return await ByteStream.StartServerAsync(
                (_, _, _) =>
                {
                    Interlocked.Increment(ref _handled);
                    return Task.CompletedTask;
                },
                new InMemoryEndPoint($"fuzz-{Guid.NewGuid():N}"),
                options).ConfigureAwait(false);
        }
        finally
        {
            // The last good pair stays, which is a promise of its own (F23).
            folder.Delete(recursive: true);
        }
    }

    private static async Task TellAsync(IByteStreamTransportFeature link, TaskCompletionSource<ConnectionCloseReason> end)
    {
        try
        {
            await link.WaitClosedAsync().ConfigureAwait(false);
        }
        catch (IOException)
        {
            // The peer was gone first.
        }

        end.TrySetResult(link.CloseReason);
    }

    private static TlsCertificateOptions Write(string folder)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256);
        using X509Certificate2 certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddYears(1));
        var written = new TlsCertificateOptions { Path = Path.Combine(folder, "pair.crt"), KeyPath = Path.Combine(folder, "pair.key") };
        File.WriteAllText(written.Path, certificate.ExportCertificatePem());
        File.WriteAllText(written.KeyPath, key.ExportPkcs8PrivateKeyPem());
        return written;
    }
}
