using System.Net.Security;
using ByteStreams.Relay;
using ByteStreams.Testing;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Middleware.Tests.Relay;

public sealed class UpstreamTlsTests : IDisposable
{
    private readonly AuthorityFiles _authority = new();
    private readonly FakeTimeProvider _time = new(DateTimeOffset.UtcNow);
    private readonly FakeLogger _log = new();
    private readonly TlsCertificateOptions _files;
    private readonly UpstreamTls _tls;

    public UpstreamTlsTests()
    {
        _files = _authority.Write("before");
        _tls = new UpstreamTls(new TlsClientOptions { CaPath = _authority.CaPath, Certificate = _files }, _time, _log);
    }

    public void Dispose() => _authority.Dispose();

    [Fact]
    public void Current_CertificateIsReplaced_IsTheNewOneWithinASecond()
    {
        SslClientAuthenticationOptions before = _tls.Current;
        Replace(_authority.Write("after"));

        Assert.Same(before, _tls.Current);
        _time.Advance(TimeSpan.FromSeconds(1));

        Assert.Equal("CN=after", Subject(_tls.Current));
        Assert.Equal("CN=before", Subject(before));
    }

    [Fact]
    public void Current_NothingHasChanged_IsNotMadeAnew()
    {
        SslClientAuthenticationOptions before = _tls.Current;

        _time.Advance(TimeSpan.FromMinutes(1));

        Assert.Same(before, _tls.Current);
    }

    [Fact]
    public void Current_FileIsBrokenOrGone_IsTheLastGoodOneAndToldOnce()
    {
        SslClientAuthenticationOptions before = _tls.Current;
        string good = File.ReadAllText(_files.Path!);
        File.WriteAllText(_files.Path!, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        for (int second = 0; second < 3; second++)
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            Assert.Same(before, _tls.Current);
        }

        FakeLogRecord told = Assert.Single(_log.Collector.GetSnapshot());
        Assert.Contains(_files.Path!, told.Message, StringComparison.Ordinal);

        // In the midst of a replacement, a moment later whole.
        File.Delete(_files.Path!);
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Same(before, _tls.Current);
        File.WriteAllText(_files.Path!, good);
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal("CN=before", Subject(_tls.Current));
        Assert.Single(_log.Collector.GetSnapshot());
    }

    [Fact, Trait("Fault", "F78")]
    public void Current_CertificateExpires_IsShownWithAWarning()
    {
        Assert.Empty(_log.Collector.GetSnapshot());

        _time.Advance(TimeSpan.FromDays(6));

        Assert.Equal("CN=before", Subject(_tls.Current));
        FakeLogRecord told = Assert.Single(_log.Collector.GetSnapshot());
        Assert.Equal((669, LogLevel.Warning), (told.Id.Id, told.Level));
        Assert.StartsWith($"Client certificate 'CN=before' in {_files.Path} for upstreams is valid from ", told.Message, StringComparison.Ordinal);
        _time.Advance(TimeSpan.FromHours(23));
        Assert.Equal("CN=before", Subject(_tls.Current));
        Assert.Single(_log.Collector.GetSnapshot());
    }

    private static string Subject(SslClientAuthenticationOptions options) => options.ClientCertificateContext!.TargetCertificate.Subject;

    private void Replace(TlsCertificateOptions by)
    {
        File.Move(by.KeyPath!, _files.KeyPath!, overwrite: true);
        File.Move(by.Path!, _files.Path!, overwrite: true);
    }
}
