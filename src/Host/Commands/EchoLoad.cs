using System.Buffers;
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using ByteStreams;
using HdrHistogram;

namespace StreamsHost.Commands;

/// <summary>The load of <c>bench</c>, and its measurements.</summary>
internal sealed class EchoLoad
{
    /// <summary>The connections opened concurrently: more would wait in the server's backlog and time out.</summary>
    private const int OpeningAtOnce = 64;

    /// <summary>The number of different errors that are reported; others are only counted.</summary>
    private const int ErrorsTold = 10;

    private readonly Client _client;
    private readonly int _connections;
    private readonly int _depth;
    private readonly TimeSpan _patience;
    private readonly byte[] _message;

    /// <summary>Nanoseconds up to an hour, with three digits: about 250 KB for all connections.</summary>
    private readonly LongConcurrentHistogram _latencies = new(1, 3_600_000_000_000, 3);
    private readonly ConcurrentDictionary<string, int> _errors = [];
    private long _answers;
    private int _failures;
    private TimeSpan _elapsed;

    /// <param name="client">Whom to ask.</param>
    /// <param name="connections">How many connections.</param>
    /// <param name="size">Bytes of a message.</param>
    /// <param name="depth">Messages of each connection on their way at once.</param>
    /// <param name="patience">How long answers that are still missing at the end may take.</param>
    public EchoLoad(Client client, int connections, int size, int depth, TimeSpan patience)
    {
        _client = client;
        _connections = connections;
        _depth = depth;
        _patience = patience;
        _message = new byte[size];
        // No two adjacent bytes are equal, so that a shifted response is detected.
        for (int i = 0; i < size - 1; i++)
        {
            _message[i] = (byte)('a' + (i % 26));
        }

        _message[^1] = (byte)'\n';
        client.Options.Limit = Math.Max(client.Options.Limit, size);
    }

    /// <summary>Responses within the duration.</summary>
    public long Answers => Interlocked.Read(ref _answers);

    /// <summary>Connections that could not be opened, failed, or received a wrong response.</summary>
    public int Failures => Volatile.Read(ref _failures);

    /// <summary>The errors, with their counts.</summary>
    public IEnumerable<string> Errors => _errors.OrderByDescending(error => error.Value).Select(error => $"{error.Key} ({error.Value} times)");

    /// <summary>Opens all connections, and then sends messages for the duration. A cancellation ends the load early and is no error.</summary>
    public async Task RunAsync(TimeSpan duration, CancellationToken cancellationToken)
    {
        var open = new ConcurrentBag<ByteStreamConnection>();
        try
        {
            await Parallel.ForAsync(0, _connections, new ParallelOptions { MaxDegreeOfParallelism = OpeningAtOnce, CancellationToken = cancellationToken }, async (_, token) =>
            {
                try
                {
                    open.Add(await _client.OpenAsync(token));
                }
                catch (CommandException failed)
                {
                    Note(failed.Message);
                }
            });

            long began = Stopwatch.GetTimestamp();
            using var sending = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            sending.CancelAfter(duration);
            using var waiting = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            waiting.CancelAfter(duration + _patience);
            await Task.WhenAll(open.Select(connection => AskAsync(connection, sending.Token, waiting.Token, cancellationToken)));
            _elapsed = Stopwatch.GetElapsedTime(began) is TimeSpan elapsed && elapsed < duration ? elapsed : duration;
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // Canceled before all connections were open.
        }
        finally
        {
            foreach (ByteStreamConnection connection in open)
            {
                await connection.DisposeAsync();
            }
        }
    }

    public void Report(TextWriter output)
    {
        double seconds = Math.Max(_elapsed.TotalSeconds, 0.001);
        double rate = Answers / seconds;
        output.WriteLine(string.Create(
            CultureInfo.InvariantCulture, $"{_client.Url}: {_connections} connections, {_message.Length} bytes, depth {_depth}, {seconds:0.0} s"));
        output.WriteLine(string.Create(
            CultureInfo.InvariantCulture, $"answers  {Answers:N0}, {rate:N0} a second, {rate * _message.Length / 1e6:N1} MB/s each way"));
        output.WriteLine($"latency  p50 {At(50)}, p99 {At(99)}, p99.9 {At(99.9)}, max {Show(_latencies.TotalCount == 0 ? 0 : _latencies.GetMaxValue())}");
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"errors   {Failures}"));
    }

    private string At(double percentile) => Show(_latencies.TotalCount == 0 ? 0 : _latencies.GetValueAtPercentile(percentile));

    private static string Show(long nanoseconds) => nanoseconds < 1_000_000
        ? string.Create(CultureInfo.InvariantCulture, $"{nanoseconds / 1e3:0.#} us")
        : string.Create(CultureInfo.InvariantCulture, $"{nanoseconds / 1e6:0.##} ms");

    private async Task AskAsync(ByteStreamConnection connection, CancellationToken sending, CancellationToken waiting, CancellationToken cancelled)
    {
        var (reader, writer) = connection;
        long[] sentAt = new long[_depth];
        try
        {
            for (int i = 0; i < _depth; i++)
            {
                sentAt[i] = Stopwatch.GetTimestamp();
                writer.Write(_message);
            }

            for (int next = 0, missing = _depth; missing > 0; next = (next + 1) % _depth)
            {
                ReadOnlySequence<byte> answer = await reader.BorrowExactlyAsync(_message.Length, waiting);
                if (!IsEcho(answer))
                {
                    Fail(writer, "a response was not an echo");
                    return;
                }

                long now = Stopwatch.GetTimestamp();
                _latencies.RecordValue(Math.Clamp((long)Stopwatch.GetElapsedTime(sentAt[next], now).TotalNanoseconds, 1, _latencies.HighestTrackableValue));
                if (sending.IsCancellationRequested)
                {
                    missing--;
                    continue;
                }

                Interlocked.Increment(ref _answers);
                sentAt[next] = now;
                writer.Write(_message);
            }
        }
        catch (OperationCanceledException) when (cancelled.IsCancellationRequested)
        {
            writer.Abort();
        }
        catch (OperationCanceledException)
        {
            Fail(writer, string.Create(CultureInfo.InvariantCulture, $"no response within {_patience.TotalSeconds:0.###} s of the end"));
        }
        catch (IncompleteReadException)
        {
            Fail(writer, "the server closed the connection");
        }
        catch (IOException lost)
        {
            Fail(writer, lost.Message);
        }
    }

    private bool IsEcho(in ReadOnlySequence<byte> answer)
    {
        ReadOnlySpan<byte> expected = _message;
        foreach (ReadOnlyMemory<byte> part in answer)
        {
            if (!expected.StartsWith(part.Span))
            {
                return false;
            }

            expected = expected[part.Length..];
        }

        return true;
    }

    private void Fail(ByteStreamWriter writer, string message)
    {
        writer.Abort();
        Note($"{_client.Url}: {message}");
    }

    private void Note(string message)
    {
        Interlocked.Increment(ref _failures);
        if (_errors.Count < ErrorsTold || _errors.ContainsKey(message))
        {
            _errors.AddOrUpdate(message, 1, static (_, count) => count + 1);
        }
    }
}
