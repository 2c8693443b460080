using System.Runtime.InteropServices;
using System.Security.Cryptography.X509Certificates;
using ByteStreams.Connections;
using ByteStreams.Tls;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;

namespace ByteStreams.Middleware.Tests.Tls;

/// <summary>Certificates that are not valid, and files that several endpoints share.</summary>
[Trait("Fault", "F78")]
public sealed class CertificateValidityTests : TlsTest
{
    private readonly Clock _clock = new();
    private readonly ObservedLogger _log = new();
    private readonly ByteStreamMetrics _metrics;

    public CertificateValidityTests() => _metrics = Own(new ByteStreamMetrics(null));

    [Theory]
    [InlineData(-5, -1, 204, "certificate 'mine' in ")]
    [InlineData(2, 5, 205, "certificate 'mine' in ")]
    [InlineData(-9, 0.5, 206, "certificate 'mine' in ")]
    public void Start_CertificateIsNotValidOrExpires_IsServedWithAWarning(double notBefore, double notAfter, int id, string expected)
    {
        TlsCertificateOptions files = Issue("mine", notBefore, notAfter);

        CertificateStore store = Start("front", files);

        FakeLogRecord line = Assert.Single(Lines());
        Assert.Equal((id, LogLevel.Warning), (line.Id.Id, line.Level));
        Assert.StartsWith("Endpoint front: " + expected + files.Path, line.Message, StringComparison.Ordinal);
        Assert.Contains(_clock.Start.AddDays(id == 205 ? notBefore : notAfter).ToString("u")[..13], line.Message, StringComparison.Ordinal);
        Assert.Contains("no restart is needed", line.Message, StringComparison.Ordinal);
        Assert.Equal("mine", store.Select(null)!.Subject);
    }

    [Fact]
    public void Look_ServedCertificateExpires_IsWarnedOfBeforeThenOnceAndDaily()
    {
        CertificateStore store = Start("front", Issue("mine", -5, 5));
        Assert.Empty(Lines());

        // The last tenth of its ten days begins a day before its end.
        int[] expected = [.. Enumerable.Repeat(0, 15), .. Enumerable.Repeat(1, 4), .. Enumerable.Repeat(2, 4), .. Enumerable.Repeat(3, 4)];
        for (int i = 0; i < expected.Length; i++)
        {
            _clock.Advance(TimeSpan.FromHours(6) + TimeSpan.FromSeconds(1));
            store.Reloader.Look();
            store.Reloader.Look();
            Assert.Equal(expected[i], Lines().Count);
        }

        Assert.Equal([206, 204, 204], Lines().Select(line => line.Id.Id));
    }

    [Fact]
    public void Look_RotationToAnExpiredCertificate_IsServedWithAWarningAndTheNextOneEndsIt()
    {
        TlsCertificateOptions files = Issue("good", -5, 5);
        CertificateStore store = Start("front", files);

        Issue("old", -5, -1);
        store.Reloader.Look();
        Assert.Equal([201, 204], Lines().Select(line => line.Id.Id));
        Assert.Equal("old", store.Select(null)!.Subject);

        Issue("new", -5, 5);
        store.Reloader.Look();
        _clock.Advance(TimeSpan.FromDays(2));
        store.Reloader.Look();
        Assert.Equal([201, 204, 201], Lines().Select(line => line.Id.Id));
    }

    [Fact]
    public void Look_ClientAuthorityExpires_IsWarnedOf()
    {
        TlsCertificateOptions files = Issue("mine", -5, 5);
        CertificateStore store = Start("front", files, WithAuthorities);
        Assert.Empty(Lines());

        _clock.Advance(TimeSpan.FromDays(11));
        store.Reloader.Look();

        FakeLogRecord line = Assert.Single(Lines(), line => line.Id.Id == 207);
        Assert.Contains("'CN=Test Authority' in " + PathOf("ca.pem"), line.Message, StringComparison.Ordinal);
    }

    /// <summary>The first endpoint's log line is the moment; at it the second endpoint selects the new certificate already.</summary>
    [Fact]
    public void Look_TwoEndpointsWithTheSameFiles_TakeANewOneOverAtTheSameMoment()
    {
        TlsCertificateOptions files = Issue("old", -5, 5);
        CertificateStore one = Start("one", files, WithAuthorities);
        CertificateStore other = Start("other", files, WithAuthorities);
        X509Certificate2Collection before = other.Authorities!;
        Assert.Same(one.Select(null), other.Select(null));
        Issue("new", -5, 5);
        File.AppendAllText(PathOf("ca.pem"), "\n");
        var seen = new List<(string, string, bool)>();
        _log.Written = () => seen.Add((one.Select(null)!.Subject, other.Select(null)!.Subject, ReferenceEquals(one.Authorities, other.Authorities)));

        one.Reloader.Look();

        Assert.Equal(4, seen.Count);
        Assert.All(seen, now => Assert.Equal(("new", "new", true), now));
        Assert.NotSame(before, other.Authorities);
        Assert.Equal(["one", "one", "other", "other"], Lines().Select(line => line.GetStructuredStateValue("Endpoint")).Order());
    }

    [Fact]
    public void Start_FilesChangedSinceTheLastLook_RunningEndpointsTakeThemOverToo()
    {
        TlsCertificateOptions files = Issue("old", -5, 5);
        CertificateStore one = Start("one", files);
        Issue("new", -5, 5);

        CertificateStore other = Start("other", files);

        Assert.Equal(("new", "new"), (one.Select(null)!.Subject, other.Select(null)!.Subject));
    }

    [Fact]
    public void Dispose_OfTheLastEndpoint_ForgetsTheFilesAndStopsTheTimer()
    {
        TlsCertificateOptions files = Issue("old", -5, 5);
        CertificateStore one = Start("one", files);
        CertificateStore other = Start("other", files);
        one.Dispose();
        Assert.Equal(1, _clock.Timers);
        Issue("new", -5, 5);
        other.Reloader.Look();
        Assert.Equal("new", other.Select(null)!.Subject);

        other.Dispose();

        Assert.Equal(0, _clock.Timers);
        File.Delete(files.Path!);
        Assert.Throws<ArgumentException>(() => Start("another", files));
    }

    [Fact]
    public void Look_FileCannotBeUsed_TheSnapshotHasTheErrorUntilItCan()
    {
        TlsCertificateOptions files = Issue("good", -5, 5);
        CertificateStore store = Start("front", files, WithAuthorities);
        byte[] good = File.ReadAllBytes(files.Path!);
        string authorities = File.ReadAllText(PathOf("ca.pem"));
        File.WriteAllText(files.Path!, "broken");
        File.WriteAllText(PathOf("ca.pem"), "broken");
        store.Reloader.Look();
        store.Reloader.Look();

        CertificateSnapshot broken = Assert.Single(store.Snapshots());
        Assert.Equal("good", broken.Subject);
        Assert.StartsWith($"{files.Path} with {files.KeyPath} cannot be used: the file is not a certificate", broken.Error, StringComparison.Ordinal);
        Assert.StartsWith($"{PathOf("ca.pem")} cannot be used: the file is not a certificate", store.AuthoritiesError, StringComparison.Ordinal);
        Assert.Equal(store.AuthoritiesError, _metrics.ClientAuthoritiesErrorOf("front"));

        File.WriteAllBytes(files.Path!, good);
        File.WriteAllText(PathOf("ca.pem"), authorities);
        store.Reloader.Look();
        Assert.Null(Assert.Single(store.Snapshots()).Error);
        Assert.Null(store.AuthoritiesError);
    }
    [Fact]
    public void LookAtCertificates_TwoEndpointsWhilePairIsReplacedFileByFile_ReportNoError()
    {
        TlsCertificateOptions files = Issue("old", -5, 5);
        CertificateStore one = Start("one", files);
        Start("other", files);
        byte[] key = File.ReadAllBytes(files.KeyPath!);
        Issue("new", -5, 5);
        byte[] next = File.ReadAllBytes(files.KeyPath!);
        File.WriteAllBytes(files.KeyPath!, key);

        _metrics.LookAtCertificates();
        File.WriteAllBytes(files.KeyPath!, next);
        _metrics.LookAtCertificates();

        Assert.Equal([201, 201], Lines().Select(line => line.Id.Id));
        Assert.Equal("new", one.Select(null)!.Subject);
    }

    /// <summary>A named pipe is read as a file of a network that does not answer is: the read waits.</summary>
    [Fact]
    public async Task Dispose_FileIsBeingReadThatDoesNotAnswer_DoesNotWaitForIt()
    {
        TlsCertificateOptions files = Issue("mine", -5, 5);
        CertificateStore one = Start("one", files);
        string pipe = files.Path + ".pipe";
        Assert.Equal(0, MakePipe(pipe, 0x180));
        File.Move(pipe, files.Path!, overwrite: true);
        var look = Task.Run(one.Reloader.Look, Soon);
        // It can be opened once it is open for reading; the read ends when this is closed.
        await using FileStream writer = await Task.Run(() => new FileStream(files.Path!, FileMode.Open, FileAccess.Write), Soon).WaitAsync(Soon);
        using X509Certificate2 another = Authority.Issue("another", ["localhost"]);
        CertificateStore other = await Task.Run(() => Start("other", Write("another", another)), Soon).WaitAsync(Soon);
        await Task.Run(one.Dispose, Soon).WaitAsync(Soon);

        Assert.Equal("another", other.Select(null)!.Subject);
        Assert.False(look.IsCompleted);
        await writer.DisposeAsync();
        await look.WaitAsync(Soon);
    }

    [DllImport("libc", EntryPoint = "mkfifo", CharSet = CharSet.Ansi)]
    private static extern int MakePipe(string path, uint mode);

    private IReadOnlyList<FakeLogRecord> Lines() => _log.Records.GetSnapshot();

    private TlsCertificateOptions Issue(string name, double notBefore, double notAfter)
    {
        using X509Certificate2 certificate = Authority.Issue(name, ["localhost"], notBefore: _clock.Start.AddDays(notBefore), notAfter: _clock.Start.AddDays(notAfter));
        return Write("server", certificate);
    }

    private void WithAuthorities(TlsServerOptions tls)
    {
        tls.ClientCertificates = ClientCertificates.Require;
        tls.ClientCaPath = PathOf("ca.pem");
        if (!File.Exists(tls.ClientCaPath))
        {
            File.WriteAllText(tls.ClientCaPath, Authority.Pem);
        }
    }

    private CertificateStore Start(string endpoint, TlsCertificateOptions files, Action<TlsServerOptions>? configure = null)
    {
        var tls = new TlsServerOptions { Certificates = { files } };
        configure?.Invoke(tls);
        return Own(new CertificateStore(tls, endpoint, _metrics, _clock, _log));
    }

    /// <summary>A logger that calls back for each line, within the call that writes it.</summary>
    private sealed class ObservedLogger : ILogger
    {
        private readonly FakeLogger _logger = new();

        public FakeLogCollector Records => _logger.Collector;

        public Action? Written { get; set; }

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => _logger.BeginScope(state);

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            _logger.Log(logLevel, eventId, state, exception, formatter);
            Written?.Invoke();
        }
    }

    /// <summary>A clock that is set by hand, whose timers are only counted: a day has 86,400 looks.</summary>
    private sealed class Clock : TimeProvider
    {
        private TimeSpan _elapsed;

        public DateTimeOffset Start { get; } = DateTimeOffset.UtcNow;

        public int Timers { get; private set; }

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override DateTimeOffset GetUtcNow() => Start + _elapsed;

        public override long GetTimestamp() => _elapsed.Ticks;

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            Timers++;
            return new Timer(this);
        }

        public void Advance(TimeSpan time) => _elapsed += time;

        private sealed class Timer(Clock clock) : ITimer
        {
            public bool Change(TimeSpan dueTime, TimeSpan period) => true;

            public void Dispose() => clock.Timers--;

            public ValueTask DisposeAsync()
            {
                Dispose();
                return default;
            }
        }
    }
}
