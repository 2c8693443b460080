using System.Security.Cryptography.X509Certificates;
using ByteStreams;
using ByteStreams.Testing;

namespace StreamsHost.Tests.Commands;

/// <summary>What <c>check</c> reports of certificates.</summary>
[Trait("Fault", "F78")]
public sealed class CheckCertificatesTests : IDisposable
{
    /// <summary>PKCS #12 with the certificate encrypted by RC2-40, as <c>openssl pkcs12 -export -legacy</c> writes it. Password: secret.</summary>
    private const string LegacyPfx =
        "MIIDqAIBAzCCA24GCSqGSIb3DQEHAaCCA18EggNbMIIDVzCCAjcGCSqGSIb3DQEHBqCCAigwggIkAgEAMIICHQYJKoZIhvcNAQcBMBwGCiqGSIb3DQEMAQYw"
        + "DgQIGhRy3E7YREUCAggAgIIB8KASe/Lcz57nb0s/6F6Ta6UZw2PVu9hrW8Wh/QQDLn+tnbI+fpRMl8X5/34wUMIPkBKC1yTewWQ0irUHH+IaHP4l9E7XX3CA"
        + "faiyTx5q6vmI0oGyNv7vxNB+24BGBeN6oIMi2a+E2W2+eY7SnQZJBAhjH+1HDI41VWgRAEFZ+zZ0/C+sGeG/QpYYrn3d7f+/PdE3kka+twpvMEGWtx3EMN1q"
        + "d1QILYriStzieZyO1dzOAUJmIqF+6B9jc9yBe7jXO2Ou4vkkqiciNv3OaNVIwnBy8xIsCPzKiZ/8/CviqaQ3Hhosi1WiYR+uI4sjOYMbuKnRAlebQMlyPq/y"
        + "ogvTxl7us5Av1WCtiRTTQWAZ6fScC+OMQHIZAw2fMfMw3IFjR1yG3WThwxjJTEg685teFi54QROkUypEHOK1JAEx1J7tRRXxKlTHNlZf1FwLDXqLpfAXxk0m"
        + "ZvDtRdDF8jeIEZGe1rt/MjCCqNTGYxrr5CU8KQZK3hi+mypwAyk1ckXuFj8lhH8/azKK4jrZZ+ySIC+XjM2uItNrglCxTLpNA0JBX0Fu1lzWilCbAg4+79xV"
        + "xJ9ncLbaznbjKr9dDY8D38Zn4FW1ENOHMlBTW4X91rY61BMKZcv37tBVyyr+/EX/hNPZgT7voMk0PCbwwB51cwkwggEYBgkqhkiG9w0BBwGgggEJBIIBBTCC"
        + "AQEwgf4GCyqGSIb3DQEMCgECoIG0MIGxMBwGCiqGSIb3DQEMAQMwDgQIdQV56JlfNFsCAggABIGQrPV24hXbIod95s0D9b10+ZBZgPs4/I5fVkUwh0+v7Wle"
        + "KOy7eox+CQQ68X13Olk844yGzYEqm45LkALRrjSHIrQbudIN9LBdlbasBZBD3/8k/Nt9iAduIz0pOrl2W7mhk5zNEac+ydFp+xOVxLvV9FGEfnqiv9jDFwWE"
        + "Qcgz0PYDxmLPgBkfW0sfsgEiIC8YMTgwEQYJKoZIhvcNAQkUMQQeAgB4MCMGCSqGSIb3DQEJFTEWBBR2z0AYY8OfWYDqqgZpFIJGfr+PJzAxMCEwCQYFKw4D"
        + "AhoFAAQUunhOQoox6sOHs3oKD2YkMRT8iVsECMAIB0A+EBNxAgIIAA==";

    /// <summary>An ECDSA key encrypted by DES (PBE-MD5-DES). Password: secret.</summary>
    private const string LegacyKey = """
        -----BEGIN ENCRYPTED PRIVATE KEY-----
        MIGwMBsGCSqGSIb3DQEFAzAOBAhR95qiNZi2WwICCAAEgZA5+ePmkd9MBzh2YMvI
        1zX/uG4LHIgyczaZZzvj75bU0h8ksuOYBdwUoNejohI+owVtgEslAitJZcvJTbpp
        Uq6Kal/tAXeh+Kq7SWH8KlXlfA9CCI9uBimofZCDL1z63GWdoIkOEAMx1fwFcd6b
        Oy+oOZ+XIgrU7XP3SbfU5vhR5zm20yWq3rCyuFNfw6dh2Bc=
        -----END ENCRYPTED PRIVATE KEY-----
        """;

    private const string Certificate = """
        -----BEGIN CERTIFICATE-----
        MIIBfjCCASWgAwIBAgIUH1AlSj0U4Rgt4+5E1su8IXWF+twwCgYIKoZIzj0EAwIw
        FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyOTIxNDUxNVoYDzIxMjYxMTA1
        MjE0NTE1WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
        PQMBBwNCAARG2ZLY4tx3imGEiByqOI6pZOsf7oC/a88CRw8eVeN8pcUYPwRTgiVH
        Mr99nPsT/6SFxPc1732vsxTI8vagSeLvo1MwUTAdBgNVHQ4EFgQUk31MYNvbWs+o
        H3xIMOp6u91kmvEwHwYDVR0jBBgwFoAUk31MYNvbWs+oH3xIMOp6u91kmvEwDwYD
        VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiAfMDG6yEDtYJNR7GZcVcYe
        aAReuC52AkgYjDxHgiYyZgIgedhheeGYz3PAq16Ehg58qGay6/3DDR6WfWD8sX4h
        fQ8=
        -----END CERTIFICATE-----
        """;

    private readonly AuthorityFiles _authority = new();

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    /// <summary>Where OpenSSL has no legacy provider, as in small images.</summary>
    [Theory(Timeout = 120000)]
    [InlineData(false, "the file is encrypted with an algorithm that OpenSSL 3 supports only with its legacy provider, such as RC2-40. Export it again: openssl pkcs12 -legacy -in ")]
    [InlineData(true, "is encrypted with an algorithm that OpenSSL 3 supports only with its legacy provider. Encrypt it again: openssl pkcs8 -topk8 ")]
    public async Task Check_LegacyEncryption_NamesItAndTheRemedy(bool isKey, string expected)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "OpenSSL is that of Linux");
        string key = Path.Combine(_authority.Folder, "legacy.key");
        string path = Path.Combine(_authority.Folder, isKey ? "legacy.crt" : "legacy.pfx");
        await File.WriteAllTextAsync(key, LegacyKey, Cancel);
        if (isKey)
        {
            await File.WriteAllTextAsync(path, Certificate, Cancel);
        }
        else
        {
            await File.WriteAllBytesAsync(path, Convert.FromBase64String(LegacyPfx), Cancel);
        }

        var withoutProvider = new CliStart { Folder = _authority.Folder, Environment = { ["OPENSSL_MODULES"] = _authority.Folder } };
        CliResult result = await CheckAsync(withoutProvider, isKey ? new TlsCertificateOptions { Path = path, KeyPath = key, Password = "secret" } : new TlsCertificateOptions { Path = path, Password = "secret" });

        Assert.Equal(1, result.ExitCode);
        Assert.StartsWith("ByteStreams:Endpoints:a:Tls:Certificates:0: ", result.Errors, StringComparison.Ordinal);
        Assert.Contains(expected, result.Errors, StringComparison.Ordinal);
    }

    [Fact(Timeout = 120000)]
    public async Task Check_CertificatesServeButShouldBeChanged_WarnsAndExitsWith0()
    {
        using X509Certificate2 certificate = _authority.Authority.IssueAuthority("In between").Issue(
            "localhost", ["localhost"], notBefore: DateTimeOffset.UtcNow.AddDays(-8), notAfter: DateTimeOffset.UtcNow.AddHours(5));
        TlsCertificateOptions files = Write(certificate);

        CliResult result = await CheckAsync(
            new CliStart { Folder = _authority.Folder },
            files,
            "--ByteStreams:Endpoints:a:Tls:ClientCertificates=Require",
            $"--ByteStreams:Endpoints:a:Tls:ClientCaPath={_authority.CaPath}",
            "--ByteStreams:Endpoints:a:Tls:AllowedCommonNames=alice");

        Assert.Equal((0, string.Empty), (result.ExitCode, result.Errors));
        string[] warnings = [.. result.Output.Split('\n').Where(static line => line.StartsWith("Warning: ByteStreams:Endpoints:a:Tls:", StringComparison.Ordinal))];
        Assert.Equal(3, warnings.Length);
        Assert.Contains("the certificate 'localhost' expires at ", warnings[0], StringComparison.Ordinal);
        Assert.Contains("the issuer 'CN=In between' is neither in the file nor a root", warnings[1], StringComparison.Ordinal);
        Assert.Contains("AllowedCommonNames: name constraints of an authority do not apply to common names.", warnings[2], StringComparison.Ordinal);
    }

    [Fact(Timeout = 120000)]
    public async Task Check_RelaysCertificateHasExpired_IsAnError()
    {
        using X509Certificate2 expired = _authority.Authority.IssueExpiredClient("relay");
        TlsCertificateOptions files = Write(expired);

        CliResult result = await Cli.RunAsync(
            new CliStart { Folder = _authority.Folder },
            "check",
            "--config", Empty(),
            "--ByteStreams:Endpoints:a:Url=tcp://127.0.0.1:0",
            "--ByteStreams:Endpoints:a:Handler=relay",
            "--ByteStreams:Endpoints:a:Relay:Upstreams=tls://127.0.0.1:1",
            $"--ByteStreams:Endpoints:a:Relay:Tls:Certificate:Path={files.Path}",
            $"--ByteStreams:Endpoints:a:Relay:Tls:Certificate:KeyPath={files.KeyPath}");

        Assert.Equal(1, result.ExitCode);
        Assert.StartsWith("ByteStreams:Endpoints:a:Relay:Tls:Certificate: the certificate 'relay' is valid from ", result.Errors, StringComparison.Ordinal);
        Assert.EndsWith("; upstreams reject it now. Replace it.\n", result.Errors, StringComparison.Ordinal);
    }

    public void Dispose() => _authority.Dispose();

    private Task<CliResult> CheckAsync(CliStart start, TlsCertificateOptions files, params string[] more) => Cli.RunAsync(
        start,
        [
            "check",
            "--config", Empty(),
            "--ByteStreams:Endpoints:a:Url=tls://127.0.0.1:0",
            "--ByteStreams:Endpoints:a:Handler=echo",
            $"--ByteStreams:Endpoints:a:Tls:Certificates:0:Path={files.Path}",
            .. files.KeyPath is null ? [] : (string[])[$"--ByteStreams:Endpoints:a:Tls:Certificates:0:KeyPath={files.KeyPath}"],
            .. files.Password is null ? [] : (string[])[$"--ByteStreams:Endpoints:a:Tls:Certificates:0:Password={files.Password}"],
            .. more,
        ]);

    private string Empty()
    {
        string file = Path.Combine(_authority.Folder, "empty.json");
        File.WriteAllText(file, "{}");
        return file;
    }

    private TlsCertificateOptions Write(X509Certificate2 certificate)
    {
        string path = Path.Combine(_authority.Folder, "mine");
        File.WriteAllText(path + ".crt", certificate.ExportCertificatePem());
        File.WriteAllText(path + ".key", certificate.GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem());
        return new TlsCertificateOptions { Path = path + ".crt", KeyPath = path + ".key" };
    }
}
