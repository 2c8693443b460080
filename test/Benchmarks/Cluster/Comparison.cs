using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using HdrHistogram;

namespace Benchmarks.Cluster;

/// <summary>
/// Measures the backplanes with three hosts and 60 pairs of a sender on one host and a receiver on another: throughput and CPU time with 16 messages
/// in flight for each pair, and latency at 1,000 messages per second. Each round measures all backplanes, so that ratios compare adjacent runs.
/// </summary>
internal static class Comparison
{
    private const int Hosts = 3;
    private const int Pairs = 60;
    private const int Window = 16;
    private const int Length = 100;
    private const int Rate = 1000;
    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(8);

    /// <summary>The time for the start and the warm-up, after which a measurement fails: a backplane that loses a message would wait for it.</summary>
    private static readonly TimeSpan Longest = TimeSpan.FromMinutes(1);

    /// <summary>Runs the measurements. Each has a cluster of its own, because the hosts are killed and would be members of the next one.</summary>
    public static async Task RunAsync(TimeSpan time, int rounds)
    {
        using Process redis = Start("redis-server", ["--port", "7399", "--save", "", "--appendonly", "no"]);
        var results = Enum.GetValues<BackplaneKind>().ToDictionary(backplane => backplane, _ => new List<Result>());
        try
        {
            for (int round = 0; round < rounds; round++)
            {
                foreach (BackplaneKind backplane in Enum.GetValues<BackplaneKind>())
                {
                    Result result = await MeasureAsync(backplane, $"{backplane}-{round}", redis, time);
                    results[backplane].Add(result);
                    Console.WriteLine(string.Create(
                        CultureInfo.InvariantCulture,
                        $"{round} {backplane}: {result.PerSecond:0} msg/s, {result.Micros:0.0} us each, p50 {result.P50:0.00} ms, p99 {result.P99:0.00} ms"));
                }
            }
        }
        finally
        {
            redis.Kill();
        }

        Console.WriteLine("backplane, medians: msg/s, CPU us per message (hosts and Redis), p50 ms, p99 ms");
        foreach ((BackplaneKind backplane, List<Result> each) in results)
        {
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{backplane}: {Median(each, r => r.PerSecond):0}, {Median(each, r => r.Micros):0.0}, {Median(each, r => r.P50):0.00}, {Median(each, r => r.P99):0.00}"));
        }
    }

    private static double Median(List<Result> results, Func<Result, double> value)
    {
        double[] sorted = [.. results.Select(value).Order()];
        return sorted[sorted.Length / 2];
    }

    private static async Task<Result> MeasureAsync(BackplaneKind backplane, string cluster, Process redis, TimeSpan time)
    {
        int first = 7500 + (10 * (int)backplane);
        using var late = new CancellationTokenSource(Longest + (2 * time));
        Process[] hosts = [.. Enumerable.Range(0, Hosts).Select(host => Start(
            Environment.ProcessPath!, ["host", $"{backplane}", cluster, $"{first + host}", $"{11400 + first + host - 7500}", "127.0.0.1:7399"]))];
        try
        {
            foreach (Process host in hosts)
            {
                while (await host.StandardOutput.ReadLineAsync(late.Token) is string line && line != "started")
                {
                }
            }

            Pair[] pairs = await Task.WhenAll(Enumerable.Range(0, Pairs).Select(pair => Pair.ConnectAsync(
                $"{backplane}-{pair}", first + (pair % Hosts), first + ((pair + 1) % Hosts), late.Token)));
            await LoadAsync(pairs, WarmUp);
            double before = Processor(hosts, redis);
            long begun = Stopwatch.GetTimestamp();
            long messages = await LoadAsync(pairs, time);
            double elapsed = Stopwatch.GetElapsedTime(begun).TotalSeconds;
            double used = Processor(hosts, redis) - before;
            var latencies = new LongHistogram(TimeSpan.TicksPerMinute, 3);
            await PaceAsync(pairs, time, latencies);
            foreach (Pair pair in pairs)
            {
                pair.Dispose();
            }

            return new Result(
                messages / elapsed,
                used * 1e6 / messages,
                latencies.GetValueAtPercentile(50) / (double)TimeSpan.TicksPerMillisecond,
                latencies.GetValueAtPercentile(99) / (double)TimeSpan.TicksPerMillisecond);
        }
        finally
        {
            foreach (Process host in hosts)
            {
                host.Kill();
                await host.WaitForExitAsync();
                host.Dispose();
            }
        }
    }

    private static Process Start(string program, string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true };
        return Process.Start(start)!;
    }

    private static double Processor(Process[] hosts, Process redis) => hosts.Append(redis).Sum(process =>
    {
        process.Refresh();
        return process.TotalProcessorTime.TotalSeconds;
    });

    private static async Task<long> LoadAsync(Pair[] pairs, TimeSpan time)
    {
        using var end = new CancellationTokenSource(time);
        long[] counts = await Task.WhenAll(pairs.Select(pair => Task.Run(() => pair.PumpAsync(Window, end.Token))));
        return counts.Sum();
    }

    private static async Task PaceAsync(Pair[] pairs, TimeSpan time, LongHistogram latencies)
    {
        long begun = Stopwatch.GetTimestamp();
        await Task.WhenAll(pairs.Select((pair, index) => Task.Run(() => pair.PaceAsync(begun, index, Pairs / (double)Rate, time, latencies))));
    }

    private sealed record Result(double PerSecond, double Micros, double P50, double P99);

    private sealed class Pair(TcpClient sender, TcpClient receiver, CancellationToken late) : IDisposable
    {
        private readonly byte[] _message = [.. Enumerable.Repeat((byte)'x', Length - 1), (byte)'\n'];
        private readonly byte[] _received = new byte[65536];

        public static async Task<Pair> ConnectAsync(string group, int from, int to, CancellationToken late)
        {
            var receiver = new TcpClient("127.0.0.1", to) { NoDelay = true };
            await receiver.GetStream().WriteAsync(System.Text.Encoding.ASCII.GetBytes($"{group}\n"), late);
            await receiver.GetStream().ReadExactlyAsync(new byte["joined\n".Length], late);
            var sender = new TcpClient("127.0.0.1", from) { NoDelay = true };
            await sender.GetStream().WriteAsync(System.Text.Encoding.ASCII.GetBytes($"> {group}\n"), late);
            return new Pair(sender, receiver, late);
        }

        /// <summary>Keeps a number of messages in flight until the token is canceled. Returns the number received.</summary>
        public async Task<long> PumpAsync(int window, CancellationToken end)
        {
            await SendAsync(window);
            long bytes = 0;
            long sent = window;
            while (true)
            {
                bytes += await ReceiveAsync();
                long due = end.IsCancellationRequested ? 0 : (bytes / Length) + window - sent;
                if (due > 0)
                {
                    await SendAsync((int)due);
                    sent += due;
                }
                else if (bytes == sent * Length)
                {
                    return sent;
                }
            }
        }

        /// <summary>Sends messages on a fixed schedule (open loop). Latency is measured from the scheduled time.</summary>
        public async Task PaceAsync(long begun, int index, double interval, TimeSpan time, LongHistogram latencies)
        {
            int messages = (int)(time.TotalSeconds / interval);
            TimeSpan At(int message) => TimeSpan.FromSeconds((message * interval) + (index * interval / Pairs));
            Task receiving = Task.Run(async () =>
            {
                long bytes = 0;
                for (int arrived = 0; arrived < messages;)
                {
                    bytes += await ReceiveAsync();
                    TimeSpan now = Stopwatch.GetElapsedTime(begun);
                    for (; arrived < bytes / Length; arrived++)
                    {
                        lock (latencies)
                        {
                            latencies.RecordValue(Math.Max(1, (now - At(arrived)).Ticks));
                        }
                    }
                }
            });
            for (int message = 0; message < messages; message++)
            {
                TimeSpan wait = At(message) - Stopwatch.GetElapsedTime(begun);
                if (wait > TimeSpan.Zero)
                {
                    await Task.Delay(wait);
                }

                await SendAsync(1);
            }

            await receiving;
        }

        public void Dispose()
        {
            sender.Dispose();
            receiver.Dispose();
        }

        private async Task SendAsync(int messages)
        {
            for (int message = 0; message < messages; message++)
            {
                await sender.GetStream().WriteAsync(_message, late);
            }
        }

        private async Task<int> ReceiveAsync()
        {
            int count = await receiver.GetStream().ReadAsync(_received, late);
            return count > 0 ? count : throw new IOException("A host has closed a connection.");
        }
    }
}
